"""Numbers as people read them: what rounding left behind is 0, and no digits without a meaning."""

from __future__ import annotations

#: Sums of numbers near 1 are off by about 1e-16; nobody measures anything as small as this.
NOISE = 1e-12
#: A float has no more decimal digits than these.
_MOST_DIGITS = 17


def without_noise(x: float) -> float:
    """Return 0 for what is no more than a rounding error; NaN stays."""
    return 0.0 if abs(x) < NOISE else x


def short(x: float, digits: int = 4) -> str:
    """Write a number with so many significant digits; a large one without an exponent."""
    text = f"{without_noise(x):.{digits}g}"
    return f"{float(text):.0f}" if "e+" in text else text


def short_between(low: float, high: float, near: float) -> str:
    """Write a cut with two digits, or the fewest more that keep it on its place.

    Parameters
    ----------
    low, high
        Values on the two sides of the cut, ``low < high``.
    near
        The cut; as it is written, it lies in [low, high) too.
    """
    candidates = (short(near, digits) for digits in range(2, _MOST_DIGITS))
    return next((text for text in candidates if low <= float(text) < high), repr(near))
