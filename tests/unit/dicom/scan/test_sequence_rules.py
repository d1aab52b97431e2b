"""Which sequence a stack is: b-values of every maker, headers, and tables of rules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import FileDataset

from nnunet_pst.dicom.scan.sequence_rules import judge, parse_rules, read_rules
from nnunet_pst.dicom.scan.studies import find_series
from nnunet_pst.errors import Fault, InputError

Writer = Callable[..., np.ndarray]
T2 = {"ScanningSequence": "SE", "EchoTime": 100.0, "RepetitionTime": 4000.0}
T1 = {"ScanningSequence": "SE", "EchoTime": 12.0, "RepetitionTime": 600.0}
GRADIENT = {"ScanningSequence": "GR", "EchoTime": 1.4, "RepetitionTime": 4.0, "FlipAngle": 12.0}
EPI = {"ScanningSequence": "EP", "EchoTime": 60.0, "RepetitionTime": 4000.0}
DEPTHS = tuple(4.0 * i for i in range(6))


@pytest.fixture
def write(write_series: Writer) -> Writer:
    """Writes a series of six slices: enough for a volume, and quick."""
    return lambda folder, **rest: write_series(folder, **{"positions": DEPTHS, **rest})


def only_verdict(folder: Path) -> tuple[str, str]:
    """Sequence and rule of the only stack."""
    (series,) = find_series(folder).series
    (stack,) = series.stacks
    verdict = judge(stack, read_rules())
    return verdict.sequence, verdict.rule


def private(creator: str, group: int, value: object, vr: str) -> Callable[[FileDataset, int], None]:
    element = {0x0019: 0x0C, 0x0043: 0x39, 0x2001: 0x03}[group]

    def edit(made: FileDataset, index: int) -> None:
        made.private_block(group, creator, create=True).add_new(element, vr, value)

    return edit


@pytest.mark.parametrize(
    ("edit", "b"),
    [
        (private("SIEMENS MR HEADER", 0x0019, "800", "IS"), 800),
        (private("SIEMENS MR HEADER", 0x0019, b"800 ", "OB"), 800),
        (private("SIEMENS MR HEADER", 0x0019, b"50", "UN"), 50),
        (private("GEMS_PARM_01", 0x0043, [1000000900, 8, 0, 0], "IS"), 900),
        (private("GEMS_PARM_01", 0x0043, b"700\\8\\0\\0 ", "UN"), 700),
        (private("Philips Imaging DD 001", 0x2001, 1000.0, "FL"), 1000),
        (private("Philips Imaging DD 001", 0x2001, np.float32(600).tobytes(), "UN"), 600),
        (lambda made, _: setattr(made, "SequenceName", "*ep_b750t"), 750),
        (lambda made, _: setattr(made, "DiffusionBValue", 850.0), 850),
    ],
)
def test_b_values_of_every_maker(tmp_path: Path, write: Writer, edit: Callable, b: float):
    write(tmp_path, edit=edit, **EPI)
    (series,) = find_series(tmp_path).series
    (stack,) = series.stacks
    assert stack.first.acquisition.b is not None
    assert stack.first.acquisition.b.value == b
    assert only_verdict(tmp_path)[0] == "DWI"


@pytest.mark.parametrize(
    ("elements", "sequence"),
    [
        (T2, "T2"),
        (T1, "T1"),
        ({**T1, "ContrastBolusAgent": "Gadovist"}, "CET1"),
        ({**T1, "ContrastBolusAgent": "NONE"}, "T1"),
        ({**T1, "SeriesDescription": "t1_tse_tra_+C"}, "CET1"),
        ({**T1, "SeriesDescription": "T1 TSE post KM"}, "CET1"),
        ({**T1, "SeriesDescription": "T1 pre contrast"}, "T1"),
        ({**GRADIENT, "SeriesDescription": "vibe_pre_flip_20deg"}, "T1"),
        ({**GRADIENT, "FlipAngle": 2.0}, "none"),
        ({**GRADIENT, "EchoTime": 25.0}, "none"),
        ({**T2, "SeriesDescription": "t2_localizer"}, "none"),
        ({**T2, "InversionTime": 2200.0}, "none"),
        ({**T2, "EchoTime": 20.0}, "none"),
        ({**T2, "Modality": "CT"}, "none"),
        ({**T2, "spacing": (6.25, 6.25)}, "none"),
        ({**T2, "spacing": (3.3, 3.3)}, "none"),
        ({**EPI, "DiffusionBValue": 800.0, "spacing": (3.4, 3.4)}, "DWI"),
        ({**EPI, "DiffusionBValue": 800.0, "spacing": (4.5, 4.5)}, "none"),
        ({**EPI, "DiffusionBValue": 0.0}, "none"),
        ({**EPI, "ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "TRACEW", "ND", "ADC"]}, "none"),
        ({**EPI, "ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "FA"]}, "none"),
        ({**EPI, "SequenceName": "ep_b0_800"}, "none"),
        ({**EPI, "DiffusionBValue": 1600.0, "SeriesDescription": "dwiCALC_BVAL"}, "computed"),
        ({"SeriesDescription": "IBSI_1_MR_T1_image"}, "T1"),
        ({"SeriesDescription": "AXIAL SE T2 FAT SAT", "ScanningSequence": "SE"}, "T2"),
        ({"SeriesDescription": "anything"}, "none"),
    ],
)
def test_headers_tell_the_sequence(tmp_path: Path, write: Writer, elements: dict, sequence: str):
    write(tmp_path, **elements)
    assert only_verdict(tmp_path)[0] == sequence


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a,b\n", Fault.MISSING),
        ("rule,sequence,when,reason\n", Fault.EMPTY),
        ("rule,sequence,when,reason\nx,T9,te > 1,y\n", Fault.MALFORMED),
        ("rule,sequence,when,reason\nx,T2,tx > 1,y\n", Fault.MALFORMED),
        ("rule,sequence,when,reason\nx,T2,te > a,y\n", Fault.MALFORMED),
        ("rule,sequence,when,reason\nx,T2,scanning ~ (,y\n", Fault.MALFORMED),
        ("rule,sequence,when,reason\n,T2,te > 1,y\n", Fault.MALFORMED),
    ],
)
def test_wrong_rules_are_refused(text: str, fault: Fault):
    with pytest.raises(InputError) as caught:
        parse_rules(text, "rules.csv")
    (line,) = caught.value.problems
    assert line.startswith("rules.csv, row 2: " if fault is Fault.MALFORMED else "rules.csv: ")
    assert line.fault is fault


def test_the_packages_rules_have_different_names_and_a_last_one():
    # A rule with misspelled fields or patterns would never decide anything.
    assert len({rule.name for rule in read_rules()}) == len(read_rules())
    assert read_rules()[-1].conditions == ()
