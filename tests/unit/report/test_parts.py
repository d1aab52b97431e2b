"""Parts of the report one by one: logs, words, verdicts, limits of agreement, pictures, CLAIM."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nnunet_pst.comparison.conclusions import conclusions, verdict_of
from nnunet_pst.comparison.difference_figure import draw_differences
from nnunet_pst.comparison.figure_style import looks, shortened
from nnunet_pst.comparison.results import (
    CaseRow,
    ComparedMeasure,
    Comparison,
    Difference,
    DistanceScore,
)
from nnunet_pst.comparison.results_folder import evaluation_files
from nnunet_pst.io.checked_tables import is_plain_name, read_object, read_rows
from nnunet_pst.io.wording import (
    UNDEFINED,
    interval,
    measure_name,
    p_value,
    signed,
    signed_interval,
    value,
)
from nnunet_pst.report import galleries
from nnunet_pst.report.claim_checklist import filled_checklist
from nnunet_pst.report.galleries import chosen, shrunken
from nnunet_pst.report.score_figures import patients_by_distance
from nnunet_pst.report.tables import Cell, Table, in_parts
from nnunet_pst.report.training_logs import Epoch, parse_log, read_curves
from nnunet_pst.report.volume_agreement import limits_of_agreement

DICE = ComparedMeasure("dice", "1", 1.0)
DISTANCE = ComparedMeasure("hd95_mm", "mm", 0.0)

LOG = """
2026-11-25 07:25:53.297661: Epochs 0 to 9, 50 iterations of 12 bags
2026-11-25 07:25:53.298370: Epoch 0
2026-11-25 07:25:53.298370: Current learning rate: 0.01
2026-11-25 07:28:15.419847: train_loss 0.6557
2026-11-25 07:28:15.420004: val_loss -0.7658
2026-11-25 07:28:15.420027: Pseudo dice [np.float32(0.25), 0.75, nan]
2026-11-25 07:28:15.420071: Epoch time: 142.12 s
2026-11-25 07:28:15.420091: Yayy! New best EMA pseudo Dice: 0.31
2026-11-25 07:28:15.420091: Epoch 1
2026-11-25 07:28:15.420091: train_loss 1e-05
2026-11-25 07:28:15.420091: val_loss nan
2026-11-25 07:28:15.420091: Pseudo dice [np.float64(nan)]
2026-11-25 07:28:15.420091: Epoch time: 2.0 s
2026-11-25 07:28:15.420091: Epoch 2
2026-11-25 07:28:15.420091: train_loss 0.1
""".replace("\n2026", " \n2026")


def test_a_log_is_read_up_to_its_last_whole_epoch():
    epochs = parse_log(LOG.splitlines())
    assert list(epochs) == [0, 1]
    assert epochs[0] == Epoch(0.6557, -0.7658, 0.5, 142.12)
    assert epochs[1].train_loss == 1e-5
    assert math.isnan(epochs[1].val_loss)
    assert math.isnan(epochs[1].pseudo_dice)


def test_a_resumed_training_is_one_curve(tmp_path: Path):
    fold = tmp_path / "T__P__2d" / "fold_all"
    fold.mkdir(parents=True)
    (tmp_path / "T__P__2d" / "fold_1").mkdir()
    for name, epochs in (("2026_9_30_23_59_59", (0, 1, 2)), ("2026_10_1_00_00_01", (2, 3))):
        lines = [
            line
            for epoch in epochs
            for line in (f"Epoch {epoch}", f"train_loss 0.{len(name)}{epoch}", "Epoch time: 1.0 s")
        ]
        (fold / f"training_log_{name}.txt").write_text("\n".join(lines))
    (curve,) = read_curves(tmp_path)
    assert (curve.fold, list(curve.epochs)) == ("fold_all", [0, 1, 2, 3])
    later = len("2026_10_1_00_00_01")
    assert curve.epochs[2].train_loss == float(f"0.{later}2")  # October comes after September


@given(st.lists(st.text(max_size=60), max_size=20))
def test_no_text_breaks_the_reader_of_logs(lines: list[str]):
    assert all(isinstance(epoch, Epoch) for epoch in parse_log(lines).values())


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (value(0.70649), "0.706"),
        (value(12.345, "mm"), "12.3"),
        (value(-0.04, "mm"), "0.0"),
        (value(-1.25, "ml"), "\N{MINUS SIGN}1.2"),
        (value(0.04, "ml"), "0.04"),
        (value(0.0031, "ml"), "0.0031"),
        (value(0.0, "ml"), "0.0"),
        (signed(-0.043, "ml"), "\N{MINUS SIGN}0.043"),
        (signed(0.043, "ml"), "+0.043"),
        (value(math.nan), UNDEFINED),
        (value(math.inf, "mm"), "∞"),
        (signed(0.0301), "+0.030"),
        (signed(-0.0001), "0.000"),
        (signed(0.0), "0.000"),
        (interval(0.5, 0.75), "0.500 to 0.750"),
        (interval(math.nan, 0.75), ""),
        (signed_interval(-0.5, 0.75), "\N{MINUS SIGN}0.500 to +0.750"),
        (p_value(0.00012), "< 0.001"),
        (p_value(0.0421), "0.042"),
        (p_value(0.42), "0.42"),
        (p_value(math.nan), UNDEFINED),
        (measure_name("hd95_mm", "mm"), "HD95 (mm)"),
        (measure_name("dice_beyond_window"), "Dice beyond window"),
        (measure_name("nsd_2mm"), "NSD 2 mm"),
        (measure_name("volume_error_percent", "%"), "volume error (%)"),
        (measure_name("volume_error_ml", "ml"), "volume error (ml)"),
        (measure_name("extent_error_slices", "slices"), "extent error (slices)"),
        (
            measure_name("false_positive_ml_on_free_slices", "ml"),
            "false positives on tumor-free slices (ml)",
        ),
    ],
)
def test_numbers_and_names(written: str, expected: str):
    assert written == expected


def difference(**changes: object) -> Difference:
    row: dict[str, object] = {
        **{"measure": "dice", "stratum": "all", "level": "all", "method": "new", "baseline": "old"},
        **{"patients": 20, "difference": 0.05, "low": 0.02, "high": 0.08, "p": 0.001},
        **{"p_holm": 0.002, "p_mean": 0.001, "p_mean_holm": 0.002, "effect": 0.7},
        **{"wins": 15, "ties": 0, "losses": 5, "p_noninferior": math.nan},
        **{"p_equivalent": math.nan, "noninferior": "", "equivalent": ""},
    }
    return Difference(**(row | changes))  # type: ignore[arg-type]


LOWER = {"difference": -0.05, "low": -0.08, "high": -0.02}


@pytest.mark.parametrize(
    ("changes", "measure", "expected"),
    [
        ({}, DICE, "better"),
        ({"effect": -0.7}, DISTANCE, "worse"),
        ({**LOWER, "effect": -0.7}, DICE, "worse"),
        (LOWER, DISTANCE, "better"),
        # The mean is lower, and by the ranks more is gained than lost.
        (LOWER, DICE, "disagree"),
        ({}, DISTANCE, "disagree"),
        ({**LOWER, "p_holm": 0.06}, DICE, "not shown"),
        ({"low": -0.01}, DICE, "not shown"),
        ({"low": 0.0}, DICE, "not shown"),
        ({"p_holm": 0.05}, DICE, "not shown"),
        ({"p_holm": math.nan}, DICE, "not shown"),
        ({"low": math.nan}, DICE, "not shown"),
        # Most patients gain, and a lost tumor could undo it.
        ({"p_mean_holm": 0.05}, DICE, "not shown"),
        ({"p_mean_holm": math.nan}, DICE, "not shown"),
        ({"low": math.nan, "high": math.nan}, DICE, "not shown"),
        ({}, ComparedMeasure("reference_ml", "ml", None), "not shown"),
    ],
)
def test_verdicts(changes: dict[str, object], measure: ComparedMeasure, expected: str):
    assert verdict_of(difference(**changes), measure) == expected


def comparison(rows: list[Difference], **facts: object) -> Comparison:
    measures = {"dice": DICE, "hd95_mm": DISTANCE, "iou": ComparedMeasure("iou", "1", 1.0)}
    return Comparison(
        folder=Path("nowhere"),
        facts=facts,
        methods=("new", "old"),
        baseline="old",
        measures=measures,
        cases=[],
        intervals=[],
        differences=rows,
        distances={},
        digest="",
    )


def sentences(*rows: Difference, **facts: object) -> str:
    (one,) = conclusions(comparison(list(rows), **facts))
    return " ".join(one.sentences)


def test_a_shown_difference_in_words():
    text = sentences(difference())
    assert "Higher Dice than the baseline: mean paired difference in Dice +0.050" in text
    assert "(+0.020 to +0.080) over 20 patients; it wins in 15, ties in 0 and loses in 5" in text
    assert "p = 0.001, corrected 0.002" in text


def test_no_shown_difference_is_not_called_equal():
    text = sentences(difference(low=-0.01, p=0.3, p_holm=0.6))
    assert "which doesn't show that there is none" in text
    assert "not worse" not in text


def test_a_margin_is_spoken_of_only_where_one_was_declared():
    tested = {"p_noninferior": 0.003, "p_equivalent": 0.2, "equivalent": "no"}
    text = sentences(difference(**tested, noninferior="yes"), margin=0.02)
    assert "shown not to be worse by more than the declared margin of 0.02 in mean Dice" in text
    assert "(one-sided p = 0.003, corrected over the methods" in text
    assert "Equivalence not shown within 0.02 (two one-sided tests, p = 0.20)" in text
    assert "margin" not in sentences(difference())


def test_a_margin_that_was_not_shown_says_how_many_patients_it_takes():
    tested = {"p_noninferior": 0.3, "p_equivalent": 0.3, "noninferior": "no", "equivalent": "no"}
    text = sentences(difference(**tested), margin=0.1)
    assert "it may be worse by more than the declared margin of 0.1" in text
    # 0.9 ** 36 is 0.023: the first number of patients of whom one in ten hardly hides.
    assert (
        "20 patients are too few for this margin: methods that never differ would need 36" in text
    )
    assert "would need" not in sentences(difference(**tested, patients=36), margin=0.1)
    text = sentences(difference(patients=4), margin=0.1)
    assert "Too few patients to test the declared margin of 0.1" in text


def test_most_patients_are_not_the_mean():
    text = sentences(difference(low=-0.1, p_mean=0.2, p_mean_holm=0.4))
    assert "Most patients lean to one side (gains), but 20 patients do not show the mean" in text
    assert "Most patients" not in sentences(difference())


def test_without_a_test_nothing_is_concluded():
    nothing = dict.fromkeys(("low", "high", "p", "p_holm", "p_mean", "p_mean_holm"), math.nan)
    (one,) = conclusions(comparison([difference(patients=4, **nothing)]))
    assert one.verdict == "not shown"
    assert "Too few patients for a test" in one.sentences[0]
    assert "(too few patients for an interval) over 4 patients" in one.sentences[0]
    rows = [difference(p_holm=math.nan), difference(measure="iou")]
    (one,) = conclusions(comparison(rows))
    assert "Dice is not in the declared family" in one.sentences[0]


def test_few_patients_are_said_to_be_too_few():
    text = sentences(difference(wins=5, losses=0, patients=5, p=0.0625, p_holm=0.0625))
    assert "p can't fall below 0.062, whatever the data: it takes 6 patients" in text
    assert "The interval leaves zero out, but the corrected tests do not confirm it" in text
    assert "whatever the data" not in sentences(difference())
    few = {"wins": 6, "losses": 0, "patients": 6, "p": 0.03, "p_holm": 0.06}
    text = sentences(difference(**few), difference(measure="iou", **few))
    assert "6 patients who differ and 2 such tests in the family" in text
    assert "can't fall below 0.062, whatever the data: it takes 7 patients" in text


def test_the_tests_of_other_methods_count_too():
    few = {"wins": 6, "losses": 0, "patients": 6, "p": 0.03, "p_holm": 0.09}
    rows = [difference(method=name, **few) for name in ("new", "other", "third")]
    one, *_ = conclusions(replace(comparison(rows), methods=("new", "other", "third", "old")))
    assert "3 such tests" in " ".join(one.sentences)
    # A test of more patients can come first, and leaves this one a smaller factor.
    rows[1:] = [replace(row, wins=20) for row in rows[1:]]
    one, *_ = conclusions(replace(comparison(rows), methods=("new", "other", "third", "old")))
    assert "whatever the data" not in " ".join(one.sentences)


def test_mean_and_test_that_lean_to_different_sides_conclude_nothing():
    (one,) = conclusions(comparison([difference(**LOWER, effect=0.42)]))
    assert one.verdict == "disagree"
    assert "nothing is concluded" in one.sentences[0]


def test_measures_outside_the_family_are_only_described():
    rows = (
        difference(),
        difference(measure="hd95_mm", p_holm=0.001, effect=-0.7),
        difference(measure="iou", p_holm=math.nan),
    )
    text = sentences(*rows)
    assert "Other measures of the family: worse on HD95" in text
    assert "Outside the family, by intervals alone and without correction: better on IoU" in text
    nothing = {"low": math.nan, "high": math.nan, "p_holm": math.nan}
    text = sentences(difference(), difference(measure="iou", difference=-1.0, **nothing))
    assert "(too few patients, or equal differences), so nothing is concluded, on IoU" in text
    assert "no difference shown" not in text


def test_limits_of_agreement_with_one_case_a_patient_are_the_usual_ones():
    values = np.random.default_rng(0).normal(2, 3, 30)
    found = limits_of_agreement({str(i): [x] for i, x in enumerate(values)})
    assert found.bias == pytest.approx(values.mean())
    half = 1.959964 * values.std(ddof=1)
    assert (found.low, found.high) == pytest.approx((found.bias - half, found.bias + half))


def test_limits_of_agreement_of_unequal_groups_by_hand():
    # Groups (0, 2), (4), (6, 8, 10): mean 5; within: (2 + 0 + 8) / 3; between: see below.
    found = limits_of_agreement({"a": [0, 2], "b": [4], "c": [6, 8, 10]})
    within = 10 / 3
    between = (2 * (1 - 5) ** 2 + (4 - 5) ** 2 + 3 * (8 - 5) ** 2) / 2
    size = (36 - (4 + 1 + 9)) / (2 * 6)
    half = 1.959964 * math.sqrt((between - within) / size + within)
    assert (found.bias, found.patients, found.cases) == (5, 3, 6)
    assert (found.low, found.high) == pytest.approx((5 - half, 5 + half))


def test_limits_of_agreement_hold_95_percent_of_new_cases():
    rng = np.random.default_rng(1)
    groups = {str(i): rng.normal(rng.normal(0, 2), 1, 1 + i % 4) for i in range(4000)}
    found = limits_of_agreement({name: list(values) for name, values in groups.items()})
    new = rng.normal(rng.normal(0, 2, 100_000), 1)
    assert np.mean((new > found.low) & (new < found.high)) == pytest.approx(0.95, abs=0.006)


def test_limits_of_agreement_need_two_patients():
    assert math.isnan(limits_of_agreement({}).bias)
    found = limits_of_agreement({"a": [1.0, 2.0]})
    assert found.bias == 1.5
    assert math.isnan(found.low)


def scores(*dice: float) -> list[CaseRow]:
    return [CaseRow("new", "1", f"c{i}", f"p{i}", "T2", {"dice": x}) for i, x in enumerate(dice)]


@pytest.mark.parametrize(("cases", "each", "number"), [(1, 2, 1), (3, 1, 3), (4, 2, 4), (9, 2, 6)])
def test_no_case_is_shown_twice(cases: int, each: int, number: int):
    found = chosen(scores(*np.linspace(0, 1, cases)), each)
    names = [score.case for _, score in found]
    assert len(names) == len(set(names)) == number
    assert found[0][0] == "worst"
    if cases > 2 * each:
        assert {role for role, _ in found} == {"worst", "median", "best"}
        assert found[-1] == ("best", scores(*np.linspace(0, 1, cases))[-1])


def test_a_picture_is_shrunk(tmp_path: Path):
    path = tmp_path / "case.png"
    Image.new("RGBA", (1430, 572), (255, 0, 0, 255)).save(path)
    jpeg = shrunken(path)
    assert jpeg is not None
    (tmp_path / "case.jpg").write_bytes(jpeg)
    with Image.open(tmp_path / "case.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (1000, 400))


def test_what_is_no_overlay_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "case.png"
    path.write_bytes(b"<svg onload=alert(1)>")
    assert shrunken(path) is None
    Image.new("L", (64, 64)).save(path, format="GIF")
    assert shrunken(path) is None
    Image.new("L", (64, 64)).save(path)
    assert shrunken(path) is not None
    path.write_bytes(path.read_bytes()[:-30])
    assert shrunken(path) is None
    Image.new("L", (64, 64)).save(path)
    monkeypatch.setattr(galleries, "_MOST_PIXELS", 64 * 63)
    monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("decoded"))
    assert shrunken(path) is None


def test_claim_has_44_items_and_leaves_the_rest_to_the_authors():
    items = filled_checklist({28: "Dice."})
    assert [item.number for item in items] == list(range(1, 45))
    assert [item.number for item in items if item.answer] == [28]
    with pytest.raises(ValueError):
        filled_checklist({45: "?"})


def test_patients_by_distance_counts_those_with_tumor():
    rows = [
        DistanceScore("a1", "a", 0, 0.9, 0.9),
        DistanceScore("a1", "a", 1, 0.0, math.nan),
        DistanceScore("b1", "b", 1, 0.5, 0.5),
        DistanceScore("b2", "b", 1, 0.6, 0.5),
    ]
    assert patients_by_distance(rows) == {0: 1, 1: 1}


def test_patient_means_average_repeats_then_cases():
    first = scores(0.5, 0.7)
    again = [replace(one, repeat="2", values={"dice": math.nan}) for one in scores(0.5, 0.7)]
    other = replace(first[0], case="c9", sequence="T1", values={"dice": 0.0})
    rows = [*first, other, *again, replace(other, repeat="2", values={"dice": 0.9})]
    one = replace(comparison([]), cases=rows)
    assert one.patient_means("dice", "new") == pytest.approx({"p0": (0.5 + 0.45) / 2, "p1": 0.7})
    assert one.patient_means("dice", "new", "T1") == {"p0": 0.45}
    assert one.patient_means("iou", "new") == {}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"interval": "bootstrap", "level": 0.95}, "95 % interval (bootstrap)"),
        ({"interval": "bootstrap"}, "interval (bootstrap)"),
        ({"level": 0.9}, "90 % interval"),
        ({}, "interval"),
    ],
)
def test_kinds_of_intervals(facts: dict[str, object], expected: str):
    assert comparison([], **facts).interval_kind == expected


def test_files_of_folds_come_in_order(tmp_path: Path):
    for number in range(1, 12):
        path = tmp_path / "methods" / "new" / str(number) / "cases.csv"
        path.parent.mkdir(parents=True)
        path.touch()
    found = evaluation_files(tmp_path, "new", "cases.csv")
    assert [path.parent.name for path in found] == [str(n) for n in range(1, 12)]
    assert evaluation_files(tmp_path, "old", "cases.csv") == []


def test_rows_that_hold_no_numbers(tmp_path: Path):
    path = tmp_path / "w.csv"
    path.write_text(
        "case,patient,distance_slices,dice,recall\n"
        "1,a,1.5,x,0.5\n2,b,,,\n3,c,inf,nan,0\n4,d,-1,0,0\n"
    )
    problems: list[str] = []
    rows = read_rows(DistanceScore, path, problems)
    assert len(problems) == 4
    assert "holds -1, which is not a count" in problems[3]
    assert "'inf', which is not a number" in problems[2]
    assert "holds 1.5, which is not a count" in problems[0]
    assert "'x', which is not a number" in problems[1]
    assert rows[1].distance_slices == 0
    assert math.isnan(rows[1].dice)


@pytest.mark.parametrize("content", ["[1]", "{", "[" * 100_000, "\ud800"])
def test_what_is_no_json_object(tmp_path: Path, content: str):
    path = tmp_path / "c.json"
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    problems: list[str] = []
    assert read_object(path, problems) == {}
    assert len(problems) == 1


def test_plain_names():
    assert all(map(is_plain_name, ("2d", "a b", "<b>", "nnU-Net 3D")))
    assert not any(map(is_plain_name, ("", ".", "..", "a/b", "a\\b", "/", "a\0")))


def test_wide_tables_come_in_parts_that_fit_on_paper():
    head = ["measure", *"abcdefghijk"]
    table = Table("Means", head, [[Cell(name) for name in head]], "caption")
    parts = in_parts(table)
    assert [part.title for part in parts] == [f"Means (part {i} of 3)" for i in (1, 2, 3)]
    assert [name for part in parts for name in part.head[1:]] == head[1:]
    assert all(part.head[0] == "measure" and part.caption == "caption" for part in parts)
    assert [[cell.text for cell in part.rows[0]] for part in parts] == [p.head for p in parts]
    assert in_parts(parts[0]) == [parts[0]]


def test_twenty_methods_are_a_line_each_in_one_panel():
    names = [f"m{i}" for i in range(20)]
    rows = [
        difference(method=name, stratum=stratum, difference=i / 100)
        for i, name in enumerate(names)
        for stratum in ("all", "sequence")
    ]
    drawn = draw_differences(replace(comparison(rows), methods=(*names, "old")))
    assert drawn is not None
    assert "a line a method, the largest on top" in drawn.caption
    with Image.open(io.BytesIO(drawn.png)) as image:
        assert image.height < 7 * 150  # inches: within a page
    few = draw_differences(replace(comparison(rows[:4]), methods=("m0", "m1", "old")))
    assert few is not None
    assert "Groups are not corrected" in few.caption


def test_every_method_looks_different():
    names = [f"method {i}" for i in range(40)]
    assert len(set(looks(names).values())) == 40
    assert shortened("a" * 30 + "end", 11) == "aaaaa…aaend"
    assert shortened("short") == "short"
