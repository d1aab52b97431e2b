"""What a reader is told of a mask."""

from __future__ import annotations

import json
import random
import warnings
from dataclasses import replace

import numpy as np
import pytest

from nnunet_pst.calibration.calibration import Calibration, as_text, read_calibration
from nnunet_pst.calibration.familiar import PROFILE_LENGTH, Familiarity, familiarity, profile
from nnunet_pst.calibration.fitting import CalibrationCase
from nnunet_pst.calibration.judgement import Flag, disagreement_lines, judge
from nnunet_pst.calibration.learning import CalibratedCase, ImageProfile, learn
from nnunet_pst.calibration.reliability import count_voxels
from nnunet_pst.calibration.signs import Signs
from nnunet_pst.errors import Fault, InputError


def learned(patients: int = 20, *, whole: bool = True, lost: int = 3) -> Calibration:
    """A calibration on masks of which every third is lost, and one is empty."""
    rng = np.random.default_rng(1)
    cases = []
    for number in range(patients):
        fails = lost and number % lost == 0
        dice = rng.uniform(0, 0.2) if fails else rng.uniform(0.8, 0.95)
        soft = 0.4 if fails else 0.9
        label = (rng.random((2, 8, 8)) < 0.3).astype(np.uint8)
        voxels = count_voxels(rng.random((2, 8, 8)).astype(np.float32), label)
        signs = Signs(soft + rng.normal(0, 0.02), soft)
        case = CalibrationCase(f"P{number}", "T2", signs, dice, 40.0, 41.0 if whole else None)
        cases.append(CalibratedCase(case, True, voxels))
    nothing = CalibrationCase("P0", "T2", Signs(0.0), 0.0, 0.0, 5.0 if whole else None)
    cases.append(CalibratedCase(nothing, True, cases[0].voxels))
    images = [
        ImageProfile(f"P{n}", name, rng.normal(shift, 1, PROFILE_LENGTH))
        for n in range(patients) for name, shift in (("T1", 0), ("T2", 3))
    ]  # fmt: skip
    return learn(cases, images, ["a" * 64], mirroring=True)


def test_a_mask_is_usual_to_be_checked_or_likely_failed():
    known = learned()
    assert known.check is not None
    flags = [judge(Signs(s, s), "T2", 40.0, known).flag for s in (0.3, 0.95)]
    assert flags == [Flag.FAILED, Flag.USUAL]
    strict = replace(known, check=replace(known.check, below=0.99))
    found = judge(Signs(0.95, 0.95), "T2", 40.0, strict)
    assert found.flag is Flag.CHECK
    assert "0.99" in found.reasons[0]


@pytest.mark.parametrize("calibration", [None, learned()])
def test_an_empty_mask_never_looks_usual(calibration: Calibration | None):
    found = judge(Signs(0.0), "T2", 0.0, calibration, why_not="nothing was calibrated")
    assert found.flag in (Flag.CHECK, Flag.FAILED)
    assert "empty" in found.reasons[0]
    assert found.expected_dice is None


def test_without_a_calibration_the_reader_is_told_why():
    found = judge(Signs(0.9, 0.9), "T2", 40.0, None, why_not="nothing was calibrated: run it")
    assert found.flag is Flag.UNKNOWN
    assert found.reasons == ("nothing was calibrated: run it",)


def test_a_sequence_that_was_not_calibrated_never_looks_usual():
    found = judge(Signs(0.95, 0.95), "FLAIR", 40.0, learned())
    assert found.flag is Flag.UNKNOWN
    assert "FLAIR" in found.reasons[0]


def test_names_of_a_stranger_cannot_steer_a_terminal():
    content = json.loads(as_text(learned(24)))
    seen = content["familiar"]
    name = "\x1b[2JT1" + "x" * 200
    seen["sequences"][0] = name
    for part in ("distances", "lowest"):
        seen[part][name] = seen[part].pop("T1")
    known = read_calibration(content, "model")
    assert known.familiar is not None
    assert known.familiar.sequences[0].isprintable()
    assert len(known.familiar.sequences[0]) <= 80


def test_without_mirrored_passes_nothing_is_expected_of_a_model_that_was_calibrated_with():
    assert judge(Signs(0.9), "T2", 40.0, learned()).flag is Flag.UNKNOWN


def test_the_worst_reason_decides_and_all_are_given():
    found = judge(
        Signs(0.95, 0.95), "T2", 40.0, learned(),
        familiar=Familiarity(0.5, False, "T1"), disagreements=["overlaps little"],
    )  # fmt: skip
    assert found.flag is Flag.CHECK
    assert [r for r in found.reasons if "T1" in r and "T2" in r]
    assert "overlaps little" in found.reasons
    assert found.reasons[-1].startswith("expected Dice")


def test_intervals_lie_around_what_was_measured():
    found = judge(Signs(0.9, 0.9), "T2", 40.0, learned())
    assert found.volume_interval_ml is not None
    assert found.volume_interval_ml[0] < 40 < found.volume_interval_ml[1]
    coarse = judge(Signs(0.9, 0.9), "T2", 40.0, learned(whole=False))
    assert coarse.volume_interval_ml is None
    assert coarse.known_voxels


def test_few_patients_give_words_instead_of_numbers():
    found = judge(Signs(0.9, 0.9), "T2", 40.0, learned(2))
    assert found.flag is Flag.UNKNOWN
    assert "too few patients" in found.reasons[0]
    eight = judge(Signs(0.9, 0.9), "T2", 40.0, learned(8))
    assert eight.expected_dice is not None
    assert eight.dice_interval is None


def test_sequences_that_disagree_are_named_on_both_sides():
    pairs = [{"sequences": ["T1", "T2"], "dice": 0.2}, {"sequences": ["T1", "DWI"], "dice": None},
             {"sequences": ["T2", "DWI"], "dice": 0.8}]  # fmt: skip
    lines = disagreement_lines({"pairs": pairs})
    assert set(lines) == {"T1", "T2"}
    assert "T2" in lines["T1"][0]
    assert disagreement_lines(None) == {}


@pytest.mark.parametrize("patients", [1, 2, 8, 20, 30])
@pytest.mark.parametrize("whole", [True, False])
def test_what_is_written_is_read_back(patients: int, whole: bool):
    known = learned(patients, whole=whole)
    again = read_calibration(json.loads(as_text(known)), "model")
    assert as_text(again) == as_text(known)
    one, other = (judge(Signs(0.8, 0.8), "T2", 9.0, c).as_json() for c in (known, again))
    assert one == other


def test_a_calibration_names_no_patient():
    assert "P1" not in as_text(learned())


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("format", 99), ("patients", -1), ("patients", "many"), ("checkpoints", 3),
        ("checkpoints", []),
        ("temperatures", {"T2": "nan"}), ("intervals", {}), ("check", []),
        ("familiar", {"sequences": ["T1"]}), ("measures", None), ("threshold", [1]),
    ],
)  # fmt: skip
def test_a_damaged_calibration_is_refused(place: str, value: object):
    content = {**json.loads(as_text(learned())), place: value}
    with pytest.raises(InputError) as refused:
        read_calibration(content, "model")
    assert refused.value.problems[0].fault is Fault.DAMAGED
    assert "calibrate" in str(refused.value)


@pytest.mark.parametrize("part", ["center", "scale", "means", "precision", "weights", "biases"])
def test_a_familiar_part_of_a_wrong_shape_is_refused(part: str):
    content = json.loads(as_text(learned(30)))
    content["familiar"][part] = content["familiar"][part][1:]
    with pytest.raises(InputError):
        read_calibration(content, "model")


VALUES = (None, 0, -1, 1e308, "", "x", [], {}, True, [[]], {"a": 1}, 10**30, "nan", float("inf"))


@pytest.mark.parametrize("seed", range(4))
def test_whatever_a_stranger_writes_is_refused_or_judged(seed: int):
    """Values anywhere in the file are replaced, removed or retyped."""
    rng, whole = random.Random(seed), as_text(learned(24))
    row = profile(np.random.default_rng(0).normal(100, 20, (4, 16, 16)))
    for _ in range(250):
        content = json.loads(whole)
        place = content
        while True:
            key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
            if isinstance(place[key], dict | list) and place[key] and rng.random() < 0.8:
                place = place[key]
                continue
            if rng.random() < 0.2:
                del place[key]
            else:
                place[key] = rng.choice(VALUES)
            break
        try:
            known = read_calibration(content, "model")
        except InputError:
            continue
        seen = None if known.familiar is None else familiarity(row, "T2", known.familiar)
        for signs, volume in ((Signs(0.9, 0.9), 40.0), (Signs(0.0), 0.0)):
            told = judge(signs, "T2", volume, known, familiar=seen).as_json()
            json.dumps(told, allow_nan=False)
            assert told["reasons"]


@pytest.mark.parametrize("value", [1e308, -1e308, 0.0])
@pytest.mark.parametrize(
    "path",
    [
        ("intervals", "expected_dice", "intercept"),
        ("intervals", "expected_dice", "slopes", "soft_dice"),
        ("intervals", "expected_dice", "sequences", "T2"),
        ("intervals", "dice_quantile"),
        ("intervals", "volume_quantile"),
        ("check", "below"),
        ("familiar", "center", 0),
        ("familiar", "scale", 0),
        ("familiar", "weights", 0, 0),
        ("familiar", "biases", 0),
        ("familiar", "precision", 0, 0),
        ("familiar", "lowest", "T2"),
    ],
)
def test_extreme_numbers_of_a_stranger_give_no_warning_and_no_nonsense(
    path: tuple[str | int, ...], value: float
):
    content = json.loads(as_text(learned(24)))
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    try:
        known = read_calibration(content, "model")
    except InputError:
        return
    assert known.familiar is not None
    row = profile(np.random.default_rng(0).normal(100, 20, (4, 16, 16)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seen = familiarity(row, "T2", known.familiar)
        told = judge(Signs(0.9, 0.9), "T2", 40.0, known, familiar=seen).as_json()
    json.dumps(told, allow_nan=False)
    for name in ("dice_interval", "volume_interval_ml"):
        if told[name] is not None:
            low, high = told[name]
            assert 0 <= low <= high
