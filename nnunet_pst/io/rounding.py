"""Numbers as people read them: rounding errors become 0, and digits without a meaning go."""

from __future__ import annotations

#: Sums of numbers near 1 are off by about 1e-16; no measure here is as small as this.
NOISE = 1e-12
#: Most decimal digits that a float has.
_MOST_DIGITS = 17


def without_noise(x: float) -> float:
    """Return 0 for a value within rounding error of it; NaN stays."""
    return 0.0 if abs(x) < NOISE else x


def short(x: float, digits: int = 4) -> str:
    """Write a number with this many significant digits; a large one without an exponent."""
    text = f"{without_noise(x):.{digits}g}"
    return f"{float(text):.0f}" if "e+" in text else text


def short_between(low: float, high: float, near: float) -> str:
    """Write a cut with two digits, or the fewest that keep it between its two values.

    Parameters
    ----------
    low, high
        Values on the two sides of the cut, ``low < high``.
    near
        The cut; as written, it is in [low, high) too.
    """
    candidates = (short(near, digits) for digits in range(2, _MOST_DIGITS))
    return next((text for text in candidates if low <= float(text) < high), repr(near))
