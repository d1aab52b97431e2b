"""Who made a scanner, and what that says about the texts in its headers."""

from __future__ import annotations

from enum import Enum


class Vendor(Enum):
    """The maker of a scanner, as conditions of rules name it."""

    GE = "GE"
    SIEMENS = "Siemens"
    PHILIPS = "Philips"
    CANON = "Canon"
    UNITED_IMAGING = "United Imaging"
    HITACHI = "Hitachi"
    OTHER = "other"


#: How the makers begin Manufacturer (0008,0070), in lower case.
_BEGINNINGS: tuple[tuple[str, Vendor], ...] = (
    ("ge ", Vendor.GE),
    ("ge_", Vendor.GE),
    ("gehc", Vendor.GE),
    ("ge-", Vendor.GE),
    ("general electric", Vendor.GE),
    ("siemens", Vendor.SIEMENS),
    ("philips", Vendor.PHILIPS),
    ("canon", Vendor.CANON),
    ("toshiba", Vendor.CANON),
    ("uih", Vendor.UNITED_IMAGING),
    ("united imaging", Vendor.UNITED_IMAGING),
    ("hitachi", Vendor.HITACHI),
    ("fujifilm", Vendor.HITACHI),
)
#: Makers that write the name of the series' own protocol into ProtocolName. GE writes the name of
#: the whole examination into every series (dcm2niix issue 473); of the others nobody knows.
PROTOCOL_IS_OF_SERIES = (Vendor.SIEMENS, Vendor.PHILIPS)


def vendor_of(manufacturer: str) -> Vendor:
    """Return the maker that a text of Manufacturer means."""
    name = f"{manufacturer.strip().casefold()} "
    return next((maker for start, maker in _BEGINNINGS if name.startswith(start)), Vendor.OTHER)
