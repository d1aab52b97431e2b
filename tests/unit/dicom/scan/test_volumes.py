"""Volumes in one place: phases, parts of a Dixon scan, directions; classic and enhanced."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset

from nnunet_pst.dicom.scan.studies import find_series, judge_studies

Writer = Callable[..., np.ndarray]
DEPTHS = tuple(4.0 * i for i in range(6))
T2 = {"ScanningSequence": "SE", "EchoTime": 100.0, "RepetitionTime": 4000.0}
T1 = {"ScanningSequence": "SE", "EchoTime": 12.0, "RepetitionTime": 600.0}
GR = {"ScanningSequence": "GR", "EchoTime": 2.2, "RepetitionTime": 4.5, "FlipAngle": 12.0}
EPI = {"ScanningSequence": "EP", "EchoTime": 70.0, "RepetitionTime": 5000.0}
POST = {**T1, "SeriesDescription": "AX T1 FS POST"}
Series = dict[str, Any]


def private(group: int, creator: str, element: int, vr: str, value: object) -> Series:
    def edit(made: FileDataset, index: int) -> None:
        made.private_block(group, creator, create=True).add_new(element, vr, value)

    return {"edit": edit}


def phases(key: str, values: list[Any], means: list[int], **elements: Any) -> list[Series]:
    """Phases of one series, told apart by one attribute."""
    base = np.random.default_rng(3).integers(80, 120, (6, 12, 16))
    return [
        {
            **GR,
            **elements,
            key: value,
            "number": 5,
            "prefix": f"{n}-",
            "array": (base * mean / 100).astype(np.uint16),
            "start": 100 * n,
        }
        for n, (value, mean) in enumerate(zip(values, means, strict=True))
    ]


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("TemporalPositionIdentifier", [1, 2, 3]),
        ("TriggerTime", [0.0, 9000.0, 18000.0]),
        ("AcquisitionTime", ["100000", "100010", "100020"]),
        ("ContentTime", ["100000", "100010", "100020"]),
        ("AcquisitionNumber", [1, 2, 3]),
        ("StudyID", ["", "", ""]),  # nothing but the order of the images
    ],
)
def test_phases_are_told_apart(chosen: Callable, tmp_path: Path, key: str, values: list):
    described = {"SeriesDescription": "Ax LAVA Multi-Phase"}
    assert chosen(phases(key, values, [100, 101, 150], **described)) == {"T1": 5, "CET1": 5}
    (series,) = find_series(tmp_path).series
    assert [len(stack.slices) for stack in series.stacks] == [6, 6, 6]


@pytest.mark.parametrize(
    ("field", "times", "taken"),
    [(1.5, (2.3, 4.6), "2"), (3.0, (2.46, 1.23), "1"), (3.0, (1.15, 2.3), "2")],
)
def test_of_two_echoes_the_opposed_one_is_not_taken(
    chosen: Callable, tmp_path: Path, field: float, times: tuple[float, float], taken: str
):
    echoes = [
        {**GR, "EchoTime": time, "EchoNumbers": n, "MagneticFieldStrength": field}
        for n, time in enumerate(times, 1)
    ]
    described = {"number": 5, "SeriesDescription": "Ax T1 dual echo"}
    series = [{**one, **described, "prefix": f"{n}-"} for n, one in enumerate(echoes)]
    assert chosen(series) == {"T1": 5}
    (study,) = judge_studies(find_series(tmp_path).series)
    assert study.chosen["T1"].stack.key == (("echo", taken),)


def test_images_counted_place_by_place_are_phases(chosen: Callable):
    series = phases("StudyID", ["", "", ""], [100, 101, 150], SeriesDescription="Ax LAVA dyn")
    for n, one in enumerate(series):
        one["start"] = None
        one["edit"] = lambda made, index, n=n: setattr(made, "InstanceNumber", 3 * index + n + 1)
    assert chosen(series) == {"T1": 5, "CET1": 5}


def test_two_phases_without_a_name_are_judged_by_their_pixels(chosen: Callable):
    assert chosen(phases("TemporalPositionIdentifier", [1, 2], [100, 150])) == {"T1": 5, "CET1": 5}


@pytest.mark.parametrize(
    "elements",
    [
        {"ContrastBolusStartTime": "100000", "AcquisitionTime": "103000"},
        {"AcquisitionTime": "103000", "after": {**POST, "number": 1, "AcquisitionTime": "101500"}},
    ],
    ids=["the bolus began before", "after an enhanced scan"],
)
def test_the_first_phase_of_a_late_dynamic_scan_is_not_native(chosen: Callable, elements: Series):
    earlier = elements.pop("after", None)
    late = phases("TemporalPositionIdentifier", [1, 2], [100, 150], **elements)
    taken = chosen([*late, *([earlier] if earlier else [])])
    assert list(taken) == ["CET1"]


def test_repetitions_that_only_their_order_tells_apart_are_not_taken(chosen: Callable):
    repeated = [{**T2, "number": 4, "prefix": f"{n}-", "start": 100 * n} for n in (0, 1)]
    assert chosen(repeated) == {}


def test_a_phase_that_was_broken_off_is_named_and_not_taken(chosen: Callable, tmp_path: Path):
    series = phases("TemporalPositionIdentifier", [1, 2, 3], [100, 150, 190])
    series[2] |= {"positions": DEPTHS[:5], "array": series[2]["array"][:5]}
    assert chosen(series) == {"T1": 5, "CET1": 5}
    (study,) = judge_studies(find_series(tmp_path).series)
    assert study.chosen["CET1"].stack.key == (("phase", "2"),)
    (broken,) = [one for one in study.judgments if one.verdict.rule == "broken off"]
    assert broken.phase is not None
    assert broken.phase.missing == 1


@pytest.mark.parametrize("real", ["philips", "mapping", None])
def test_phases_are_compared_in_real_world_values(chosen: Callable, tmp_path: Path, real: str):
    """Every phase is scaled to the same range, so displayed values show no enhancement."""
    series = phases("TemporalPositionIdentifier", [1, 2], [100, 100])
    for one, scale in zip(series, (2.0, 1.0), strict=True):
        if real == "philips":
            one |= private(0x2005, "Philips MR Imaging DD 001", 0x0E, "FL", scale)
        elif real == "mapping":
            mapping = Dataset()
            mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = 1 / scale, 0.0
            one["RealWorldValueMappingSequence"] = [mapping]
    assert chosen(series) == ({"T1": 5, "CET1": 5} if real else {"T1": 5})


def enhanced(path: Path, write_series: Writer, frames: list[dict[str, Any]], **elements: Any):
    """An enhanced file; each item of ``frames`` is a volume: functional groups and a mean."""
    write_series(path.parent / "template", positions=(0.0,), **elements)
    made = pydicom.dcmread(next((path.parent / "template").iterdir()))
    for file in (path.parent / "template").iterdir():
        file.unlink()
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    shared, measures, plane = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, plane.ImageOrientationPatient = [1, 1], [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    made.SharedFunctionalGroupsSequence = [shared]
    for keyword in ("PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient"):
        delattr(made, keyword)
    made.PerFrameFunctionalGroupsSequence = []
    planes = []
    for volume in frames:
        for z in DEPTHS:
            groups, place = Dataset(), Dataset()
            place.ImagePositionPatient = [0, 0, z]
            groups.PlanePositionSequence = [place]
            for group, values in volume["groups"].items():
                item = Dataset()
                for keyword, value in values.items():
                    setattr(item, keyword, value)
                setattr(groups, group, [item])
            made.PerFrameFunctionalGroupsSequence.append(groups)
            random = np.random.default_rng(len(planes))
            planes.append(random.integers(80, 120, (12, 16)) * volume["mean"] // 100)
    made.NumberOfFrames = len(planes)
    made.PixelData = np.stack(planes).astype(np.uint16).tobytes()
    made.save_as(path)


def frame_type(*values: str) -> dict[str, Any]:
    return {"MRImageFrameTypeSequence": {"FrameType": list(values)}}


@pytest.mark.parametrize(
    ("frames", "elements", "taken"),
    [
        (
            [
                {"mean": 100, "groups": {"FrameContentSequence": {"TemporalPositionIndex": 1}}},
                {"mean": 150, "groups": {"FrameContentSequence": {"TemporalPositionIndex": 2}}},
            ],
            GR,
            {"T1": "phase=1", "CET1": "phase=2"},
        ),
        (
            [
                {"mean": 100, "groups": frame_type("DERIVED", "PRIMARY", "DIXON", part)}
                for part in ("FAT", "WATER", "OUT_PHASE", "R2_STAR")
            ],
            GR,
            {"T1": "type=WATER"},
        ),
        (
            [
                {
                    "mean": 100,
                    "groups": {
                        "MRDiffusionSequence": {
                            "DiffusionBValue": 800.0,
                            "DiffusionDirectionality": way,
                        },
                        **frame_type("ORIGINAL", "PRIMARY", "DIFFUSION", "NONE"),
                    },
                }
                for way in ("DIRECTIONAL", "ISOTROPIC")
            ],
            EPI,
            {"DWI": "direction=ISOTROPIC"},
        ),
        (
            [
                {
                    "mean": 100,
                    "groups": {
                        "MRImageFrameTypeSequence": {
                            "FrameType": ["ORIGINAL", "PRIMARY", "T1", "NONE"],
                            "ComplexImageComponent": part,
                        }
                    },
                }
                for part in ("PHASE", "MAGNITUDE")
            ],
            T1,
            {"T1": "component=MAGNITUDE"},
        ),
    ],
    ids=["dynamic", "dixon", "directions", "phase and magnitude"],
)
def test_enhanced_files(tmp_path: Path, write_series: Writer, frames, elements, taken):
    enhanced(tmp_path / "x", write_series, frames, **elements)
    (study,) = judge_studies(find_series(tmp_path).series)
    keys = {s: " ".join(f"{k}={v}" for k, v in one.stack.key) for s, one in study.chosen.items()}
    assert keys == taken
