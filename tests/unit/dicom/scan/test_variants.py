"""Neighbors of the cases from the field: other vendors, spellings, languages, classic and enhanced.

Each variant is a study of a few series; the name says vendor, spelling, and kind of file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import FileDataset

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


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant(chosen: Callable, variant: str):
    series, expected = VARIANTS[variant]
    assert chosen(series) == expected
