"""Neighbors of the cases from the field: other vendors, spellings, languages, classic and enhanced.

Each variant is a study of a few series; the name says vendor, spelling, and kind of file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset

from nnunet_pst.dicom.scan.contrast_words import Contrast, contrast_in_words
from nnunet_pst.dicom.scan.studies import find_series, judge_studies

Writer = Callable[..., np.ndarray]
DEPTHS = tuple(4.0 * i for i in range(6))
MORE = tuple(4.0 * i for i in range(9))
T2 = {"ScanningSequence": "SE", "EchoTime": 100.0, "RepetitionTime": 4000.0}
T1 = {"ScanningSequence": "SE", "EchoTime": 12.0, "RepetitionTime": 600.0}
GR = {"ScanningSequence": "GR", "EchoTime": 2.2, "RepetitionTime": 4.5, "FlipAngle": 12.0}
EPI = {"ScanningSequence": "EP", "EchoTime": 70.0, "RepetitionTime": 5000.0}
GE, SIEMENS = {"Manufacturer": "GE MEDICAL SYSTEMS"}, {"Manufacturer": "SIEMENS"}
PHILIPS, CANON = {"Manufacturer": "Philips Healthcare"}, {"Manufacturer": "CANON_MEC"}
AGENT = {"ContrastBolusAgent": "Dotarem"}
Series = dict[str, Any]


def name(text: str, **elements: Any) -> Series:
    return {"SeriesDescription": text, **elements}


def kind(*values: str) -> Series:
    return {"ImageType": list(values)}


def private(group: int, creator: str, element: int, vr: str, value: object) -> Series:
    def edit(made: FileDataset, index: int) -> None:
        made.private_block(group, creator, create=True).add_new(element, vr, value)

    return {"edit": edit}


def ge_gradient(made: FileDataset, index: int) -> None:
    block = made.private_block(0x0019, "GEMS_ACQU_01", create=True)
    for element, value in ((0xBB, 1.0), (0xBC, 0.0), (0xBD, 0.0)):
        block.add_new(element, "DS", value)


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


POST = {**T1, **name("AX T1 FS POST")}
TRACE = kind("DERIVED", "PRIMARY", "DIFFUSION", "TRACEW")
VARIANTS: dict[str, tuple[list[Series], dict[str, int]]] = {
    # Whose words decide.
    "Canon: ProtocolName of the examination": (
        [{**T1, **CANON, **name("T1 FSE AX"), "ProtocolName": "PELVIS PRE POST DYN"}],
        {"T1": 1},
    ),
    "no maker: ProtocolName doesn't count": (
        [{**T2, **name("T2 ax"), "ProtocolName": "Pelvis T1 STIR +C localizer"}],
        {"T2": 1},
    ),
    "GE: nothing but ProtocolName": (
        [{"ScanningSequence": "SE", **GE, "ProtocolName": "Pelvis T1 + C"}],
        {},
    ),
    "Siemens: ProtocolName says what the description doesn't": (
        [{**T1, **SIEMENS, **name("ax fs"), "ProtocolName": "t1_tse_tra_fs_KM"}],
        {"CET1": 1},
    ),
    "Siemens: the description over ProtocolName": (
        [{**T1, **SIEMENS, **name("t1_tse_tra_nativ"), "ProtocolName": "t1_tse_tra_KM"}],
        {"T1": 1},
    ),
    "Philips: ProtocolName of the series": (
        [{**T1, **PHILIPS, "SeriesDescription": "", "ProtocolName": "T1W_TSE +Gd"}],
        {"CET1": 1},
    ),
    "service data": ([{**T2, "ContentQualification": "SERVICE"}, {**T2, "number": 2}], {"T2": 2}),
    # Contrast.
    "agent in all, 'sans injection' and 'gado'": (
        [
            {**T1, **AGENT, **name("AX T1 SANS INJECTION"), "AcquisitionTime": "100000"},
            {**T1, **AGENT, **name("AX T1 GADO"), "AcquisitionTime": "103000"},
        ],
        {"T1": 1, "CET1": 2},
    ),
    "agent in all, the native one without words": (
        [
            {**T1, **AGENT, **name("AX T1"), "AcquisitionTime": "100000"},
            {**T1, **AGENT, **name("AX T1 +C"), "AcquisitionTime": "103000"},
        ],
        {"T1": 1, "CET1": 2},
    ),
    "agent in all, a native scan by words comes later": (
        [
            {**GR, **AGENT, **name("AX VIBE"), "AcquisitionTime": "100000"},
            {**T1, **AGENT, **name("AX T1 PRE"), "AcquisitionTime": "101000"},
            {**T1, **AGENT, **name("AX T1 +C"), "AcquisitionTime": "103000"},
        ],
        {"T1": 2, "CET1": 3},
    ),
    "no words, before and after the bolus began": (
        [
            {**T1, **AGENT, "AcquisitionTime": "100000", "ContrastBolusStartTime": "101500"},
            {**T1, **AGENT, "AcquisitionTime": "103000", "ContrastBolusStartTime": "101500"},
        ],
        {"T1": 1, "CET1": 2},
    ),
    "words against the time of the bolus": (
        [{**POST, "AcquisitionTime": "100000", "ContrastBolusStartTime": "101500"}],
        {},
    ),
    "called native, acquired after an enhanced scan": (
        [
            {**POST, "AcquisitionTime": "100000"},
            {**T1, **name("AX T1 PRE"), "AcquisitionTime": "103000"},
        ],
        {"CET1": 1},
    ),
    "no words, acquired after an enhanced scan": (
        [
            {**POST, "AcquisitionTime": "100000"},
            {**T1, **name("COR T1"), "AcquisitionTime": "103000"},
        ],
        {"CET1": 1},
    ),
    "pre and post in one name": ([{**T1, **name("T1 nativ KM")}], {}),
    "late phase, Spanish": ([{**GR, **name("VIBE tardío")}], {"CET1": 1}),
    # Acquired before derived.
    **{
        f"{label}: made from others": (
            [POST, {**POST, **elements, "number": 2, "positions": MORE}],
            {"CET1": 1},
        )
        for label, elements in {
            "Siemens MIP_SAG": kind("DERIVED", "PRIMARY", "MIP_SAG"),
            "Siemens MIN_IP": kind("DERIVED", "PRIMARY", "MIN_IP"),
            "Siemens SUB": kind("DERIVED", "PRIMARY", "SUB", "ND"),
            "Siemens CSA MPR": kind("DERIVED", "SECONDARY", "M", "CSA MPR"),
            "Siemens STD": kind("DERIVED", "PRIMARY", "STDDEV_SAG"),
            "GE COLLAPSE": kind("DERIVED", "SECONDARY", "PROJECTION IMAGE", "COLLAPSE"),
            "GE SCREEN SAVE": kind("DERIVED", "SECONDARY", "SCREEN SAVE"),
            "GE VOLUME RENDER": kind("DERIVED", "SECONDARY", "VOLREND"),
            "GE generic derived": kind("DERIVED", "SECONDARY", "OTHER"),
            "Philips SUBTRACTION": kind("DERIVED", "PRIMARY", "SUBTRACTION", "M", "SE"),
            "Philips T1 map": kind("DERIVED", "PRIMARY", "T1 MAP", "T1", "UNSPECIFIED"),
            "Philips real part": kind("ORIGINAL", "PRIMARY", "R_SE", "R", "SE"),
            "Canon minimum": kind("DERIVED", "PRIMARY", "AXIAL", "MINIMUM"),
            "standard STD_DEVIATION": kind("DERIVED", "PRIMARY", "T1", "STD_DEVIATION"),
            "name: Subtraktion": name("T1 KM Subtraktion"),
            "name: soustraction": name("T1 GADO soustraction"),
            "name: MPR cor": name("T1 POST MPR cor"),
            "name: REK": name("T1 POST_REK"),
            "name: T1 Map": name("T1_Map POST"),
            "name: key images": name("T1 POST key images"),
            "technique MAX_IP": {"VolumeBasedCalculationTechnique": "MAX_IP"},
            "derivation says subtraction": {"DerivationDescription": "Subtraction of 2 images"},
            "GE: raw data type is phase": private(0x0043, "GEMS_PARM_01", 0x2F, "SS", 1),
            "a secondary capture": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"},
        }.items()
    },
    "Siemens Dixon names: _F and _opp": (
        [
            {**GR, **name(f"t1_vibe_dixon_tra_{part}"), "number": n}
            for n, part in enumerate(("opp", "W", "F"), 1)
        ],
        {"T1": 2},
    ),
    "GE IDEAL: water and fat": (
        [{**T1, **name("WATER: Ax T1 IDEAL")}, {**T1, **name("FAT: Ax T1 IDEAL"), "number": 2}],
        {"T1": 1},
    ),
    "words that look like others": (
        [
            {**T2, **name("T2 HASTE exp")},
            {**GR, **name("Ax T1 In-Phase image"), "number": 2},
            {**T1, **name("AX T1 tumor protocol double dose Gd"), "number": 3},
        ],
        {"T2": 1, "T1": 2, "CET1": 3},
    ),
    "fat saturation is no fat image": ([{**T1, **name("Ax T1 Dixon FAT SAT")}], {"T1": 1}),
    "R2* and fat fraction by name": (
        [
            {**GR, **name("Ax IDEAL IQ R2*")},
            {**GR, **name("FatFrac: Ax IDEAL IQ"), "number": 2},
            {**GR, **name("PDFF"), "number": 3},
        ],
        {},
    ),
    # Diffusion.
    "ADC under other names": (
        [
            {**EPI, "DiffusionBValue": 800.0, **name(text), "number": n}
            for n, text in enumerate(
                ("dADC", "Apparent Diffusion Coefficient (mm2/s)", "eADC", "Ax DWI_ADCmap"), 1
            )
        ]
        + [{**EPI, "DiffusionBValue": 800.0, **name("DWI b800"), "number": 9}],
        {"DWI": 9},
    ),
    "computed only": ([{**EPI, "DiffusionBValue": 1500.0, **name("cDWI b1500")}], {"DWI": 1}),
    "computed beside acquired": (
        [
            {**EPI, "DiffusionBValue": 1000.0, **name("DWI b1000 computed")},
            {**EPI, "DiffusionBValue": 400.0, **name("DWI b400"), "number": 2},
        ],
        {"DWI": 2},
    ),
    "Siemens: directions beside their trace": (
        [
            {
                **EPI,
                "DiffusionBValue": 800.0,
                "DiffusionGradientOrientation": [1.0, 0.0, 0.0],
                "positions": MORE,
            },
            {**EPI, **TRACE, "DiffusionBValue": 800.0, "number": 2},
        ],
        {"DWI": 2},
    ),
    "Philips private: a direction alone": (
        [
            {
                **EPI,
                "DiffusionBValue": 800.0,
                **private(0x2001, "Philips Imaging DD 001", 0x04, "CS", "P"),
            }
        ],
        {},
    ),
    "Philips private: isotropic": (
        [
            {
                **EPI,
                "DiffusionBValue": 800.0,
                **private(0x2001, "Philips Imaging DD 001", 0x04, "CS", "I"),
            }
        ],
        {"DWI": 1},
    ),
    "GE private gradient: said, and after a trace": (
        [
            {
                **EPI,
                **GE,
                "DiffusionBValue": 800.0,
                "positions": MORE,
                "edit": ge_gradient,
            },
            {**EPI, **GE, "DiffusionBValue": 500.0, "number": 2},
        ],
        {"DWI": 2},
    ),
    "native and enhanced under one SeriesInstanceUID": (
        [
            {**T1, **name(f"AX T1 {word}"), "number": 4, "prefix": word, "start": n}
            for n, word in ((1, "PRE"), (200, "POST"))
        ],
        {"T1": 4, "CET1": 4},
    ),
    "three volumes of a b-value that nothing names": (
        [
            {
                **EPI,
                "DiffusionBValue": 800.0,
                "AcquisitionNumber": n,
                "prefix": f"{n}-",
                "number": 4,
            }
            for n in (1, 2, 3)
        ],
        {},
    ),
}


@pytest.fixture
def chosen(tmp_path: Path, write_series: Writer) -> Callable[[list[Series]], dict[str, int]]:
    """Writes the series of a study, and returns the numbers of those taken."""

    def choose(series: list[Series]) -> dict[str, int]:
        for index, one in enumerate(series, 1):
            elements = {"number": index, "positions": DEPTHS, **one}
            start, edit = elements.pop("start", None), elements.pop("edit", None)
            folder = tmp_path / f"{elements['number']}"

            def edited(made: FileDataset, slice_number: int, start=start, edit=edit) -> None:
                if start is not None:
                    made.InstanceNumber = start + slice_number
                if edit is not None:
                    edit(made, slice_number)

            write_series(folder, edit=edited, **elements)
        (study,) = judge_studies(find_series(tmp_path).series)
        return {s: one.stack.series.first.number or 0 for s, one in study.chosen.items()}

    return choose


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant(chosen: Callable, variant: str):
    series, expected = VARIANTS[variant]
    assert chosen(series) == expected


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


NATIVE = """AX T1 PRE|T1 w/o contrast|T1 WO|T1 W/O GAD|T1 non-contrast|T1 noncon|T1 unenhanced|T1 C-
t1_tra_nativ|T1 vor KM|T1 ohne KM|T1 o. KM|T1 präKM|T1 prae KM|T1 SANS INJECTION|T1 sans gado
T1 avant injection|T1 non injecté|T1 NATIF|T1 SIN CONTRASTE|T1 S/C|T1 senza mdc|T1 basale
T1 造影剤なし
T1 zonder contrast|T1 blanco|T1 voor contrast|T1 平扫|T1增强前|T1 単純|T1 造影前|T1 Plain|T1 -C"""
ENHANCED = """AX T1 FS POST|t1_tse_tra_+C|T1 C+|T1+C|T1 (C+)|T1 post KM|t1_tse_tra_KM|T1 nach KM
T1 n. KM|T1 mit KM|T1 GADO|T1 après gado|T1 INJ|T1 injecté|T1 CON CONTRASTE|T1 C/C|T1 con mdc
T1 dopo mdc|T1 met contrast|T1 na Gd|T1增强|T1WI+C|T1 造影|造影後 T1|CE-T1WI|T1CE|Gd-T1|T1 spät
T1 sans FS gado|LAVA Delayed Phase|T1 tardif|AX T1 w/ contrast|T1 Gadovist|T1 TARDÍO|T1 GD-DTPA
T1 APRES"""
NEITHER = """AX T1 FSE|PELVIS W/WO CONTRAST|Pelvis w & wo contrast|T1 with and without contrast
T1 post op|T1 pre-op|t1_tse_cor|T1 C-spine|T1 sans FS|T1 ohne FS|T1 w/o fs|T1 post treatment
T1 avec et sans injection|T1 mit und ohne KM|T1 con y sin contraste|T1 con e senza mdc
平扫+增强 T1|T1 造影前後
T1 TSE POSTERIOR|T1 presat|T1 pre/post|Sacrum coronal T1|T1 space|T1 met vetsat"""


@pytest.mark.parametrize(
    ("names", "contrast"),
    [(NATIVE, Contrast.NATIVE), (ENHANCED, Contrast.ENHANCED), (NEITHER, Contrast.UNKNOWN)],
)
def test_words_for_before_and_after_contrast(names: str, contrast: Contrast):
    every = names.replace("\n", "|").split("|")
    assert {text: contrast_in_words(text)[0] for text in every} == dict.fromkeys(every, contrast)
