"""Types of arguments; argparse reports wrong ones as wrong usage."""

from __future__ import annotations

import argparse
import math


def count(text: str) -> int:
    """Read a whole number of 0 or more."""
    return _at_least(0, text)


def positive(text: str) -> int:
    """Read a whole number of 1 or more."""
    return _at_least(1, text)


def _at_least(lowest: int, text: str) -> int:
    value = int(text)
    if value < lowest:
        raise argparse.ArgumentTypeError(f"must be {lowest} or more")
    return value


def margin(text: str) -> float:
    """Read a margin of a share, such as Dice: above 0 and below 1."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError("must lie above 0 and below 1, the largest loss of Dice")
    return value


def distance(text: str) -> float:
    """Read a positive, finite number of millimeters."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError("must be a distance in mm above 0")
    return value
