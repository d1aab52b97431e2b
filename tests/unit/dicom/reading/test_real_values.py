"""Real-world values: Philips's scale, in files and in frames, and the standard's mapping."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from nnunet_pst.dicom.reading.real_values import real_scale


def philips(scale: float) -> Dataset:
    made = Dataset()
    made.private_block(0x2005, "Philips MR Imaging DD 001", create=True).add_new(0x0E, "FL", scale)
    return made


def mapped(slope: float, intercept: float) -> Dataset:
    mapping, made = Dataset(), Dataset()
    mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = slope, intercept
    made.RealWorldValueMappingSequence = [mapping]
    return made


def nested(scale: float) -> Dataset:
    """A frame's groups as Philips writes them: the scale is in a sequence of its own."""
    made = Dataset()
    block = made.private_block(0x2005, "Philips MR Imaging DD 005", create=True)
    block.add_new(0x0F, "SQ", [philips(scale)])
    return made


@pytest.mark.parametrize("stored", [0.0, 100.0, 4095.0])
@pytest.mark.parametrize(
    ("dataset", "frame", "real"),
    [
        (philips(0.5), None, lambda v: (v * 2 + 10) / (2 * 0.5)),
        (Dataset(), nested(0.25), lambda v: (v * 2 + 10) / (2 * 0.25)),
        (mapped(3.0, -5.0), None, lambda v: v * 3 - 5),
        (Dataset(), mapped(3.0, -5.0), lambda v: v * 3 - 5),
    ],
    ids=["Philips", "Philips enhanced", "mapping", "mapping of a frame"],
)
def test_displayed_values_become_real_ones(dataset, frame, real, stored: float):
    scale = real_scale(dataset, frame, 2.0, 10.0)
    assert scale is not None
    factor, offset = scale
    assert (stored * 2 + 10) * factor + offset == pytest.approx(real(stored))


def test_without_a_scale_there_is_none():
    assert real_scale(Dataset(), None, 1.0, 0.0) is None
    assert real_scale(philips(0.0), None, 1.0, 0.0) is None
    assert real_scale(philips(1.0), None, 0.0, 0.0) is None
