"""Real-world values: what a displayed value is worth in units that all phases of a scan share.

Scanners that scale every image to the same range say with the image how to undo it. Sources: DICOM
PS3.3 C.7.6.16.2.11 (Real World Value Mapping); dcm2niix's notes on Philips, where a precise value
is (stored * slope + intercept) / (slope * scale slope).
"""

from __future__ import annotations

from pydicom.dataset import Dataset

from nnunet_pst.dicom.reading.values import item, items, number, private_value

_PHILIPS_SCALE = ("PHILIPS MR IMAGING DD 001", 0x2005, 0x0E)


def real_scale(
    dataset: Dataset, frame: Dataset | None, slope: float, intercept: float
) -> tuple[float, float] | None:
    """Return the factor and the offset from displayed to real-world values; None where unknown.

    Parameters
    ----------
    dataset
        Header of the file.
    frame
        Functional groups of a frame of an enhanced file, or None.
    slope, intercept
        Of the rescaling that makes displayed values of stored ones.
    """
    if slope == 0:
        return None
    shared = item(dataset, "SharedFunctionalGroupsSequence")
    places = [place for place in (frame, shared, dataset) if place is not None]
    for place in places:
        scale = private_value(place, *_PHILIPS_SCALE)
        if scale is None and place is not dataset:
            scale = _nested_scale(place)
        if scale is not None and scale[0] != 0:
            return 1 / (slope * scale[0]), 0.0
    for place in places:
        for mapping in items(place, "RealWorldValueMappingSequence"):
            real_slope = number(mapping, "RealWorldValueSlope")
            real_intercept = number(mapping, "RealWorldValueIntercept")
            if real_slope is not None and real_intercept is not None:
                return real_slope / slope, real_intercept - intercept * real_slope / slope
    return None


def _nested_scale(place: Dataset) -> tuple[float, ...] | None:
    """Look into Philips's own group of an enhanced frame (2005,140F)."""
    for block in range(0x10, 0x20):
        tag = (0x2005, block * 0x100 + 0x0F)
        if tag in place and place[tag].VR == "SQ":
            for nested in place[tag].value:
                scale = private_value(nested, *_PHILIPS_SCALE)
                if scale is not None:
                    return scale
    return None
