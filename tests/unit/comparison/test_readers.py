"""Two readers on tiny datasets: agreement, consensus and range with known answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from comparison_example import PATIENTS, compare, predict, save, table, tumor
from nnunet_pst.cli.main import main
from nnunet_pst.comparison.bounded_means import fewest_patients
from nnunet_pst.comparison.statistics import mean_interval
from nnunet_pst.io.consensus import staple


def dice(one: int, other: int) -> float:
    """Of two boxes that begin at the same column."""
    return 2 * min(one, other) / (one + other)


@pytest.fixture
def read(tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Path, str]:
    """First reader 6 columns, second 4, methods 5 and 1."""
    second = predict(dataset, tmp_path / "second", 4)
    folders = [f"m{n}={predict(dataset, tmp_path / str(n), n)}" for n in (5, 1)]
    out = compare(tmp_path, dataset, *folders, "--second-reader", str(second), "--margin", "0.3")
    return out, capsys.readouterr().out


def test_agreement_is_that_of_the_boxes(read: tuple[Path, str]) -> None:
    rows = {
        (row["against"], row["method"]): row
        for row in table(read[0] / "readers.csv")
        if row["measure"] == "dice"
    }
    expected = {
        ("first", "second reader"): dice(6, 4),
        ("first", "m5"): dice(6, 5),
        ("second", "m5"): dice(4, 5),
        ("first", "m1"): dice(6, 1),
        ("second", "m1"): dice(4, 1),
        # STAPLE of two nested masks keeps what both hold.
        ("consensus", "m5"): dice(4, 5),
        ("range", "m5"): (dice(6, 5) + dice(4, 5)) / 2 - dice(6, 4),
        ("range", "m1"): (dice(6, 1) + dice(4, 1)) / 2 - dice(6, 4),
    }
    for key, value in expected.items():
        assert float(rows[key]["mean"]) == pytest.approx(value, abs=1e-5), key
        assert rows[key]["patients"] == str(PATIENTS)
    assert rows["range", "m5"]["at_least"] == str(PATIENTS)
    assert rows["range", "m1"]["at_least"] == "0"
    own = mean_interval([expected["range", "m1"]] * PATIENTS, bounds=(-1, 1))
    assert float(rows["range", "m1"]["low"]) == pytest.approx(own.low, abs=1e-4)
    assert float(rows["range", "m1"]["high"]) == pytest.approx(own.high, abs=1e-4)


def test_what_is_said_of_the_range(read: tuple[Path, str]) -> None:
    said = read[1]
    assert "Between the readers: Dice 0.800" in said
    assert "m5: not shown to be within the readers' range, with a margin of 0.3" in said
    assert "m1: not shown to be within the readers' range" in said
    assert f"at least as well in {PATIENTS} of {PATIENTS} patients" in said


def test_a_method_that_is_as_good_as_the_readers_is_within_from_the_stated_number_on() -> None:
    from nnunet_pst.comparison.margins import margin_tests

    number = fewest_patients(0.3, 0.025)
    (enough,) = margin_tests([[0.0] * (number + 1)], 0.3, (-1.0, 1.0))
    (few,) = margin_tests([[0.0] * (number - 2)], 0.3, (-1.0, 1.0))
    assert (enough.noninferior, few.noninferior) == ("yes", "no")


def test_one_method_and_its_page(
    tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second = predict(dataset, tmp_path / "second", 6)
    method = predict(dataset, tmp_path / "ours", 0)
    out = compare(tmp_path, dataset, f"ours={method}", "--second-reader", str(second))
    assert "ours: outside the readers' range" in capsys.readouterr().out
    assert main(["report", str(out), "--dataset", str(dataset)]) == 0
    page = (out / "report.html").read_text()
    assert "Against two readers" in page
    assert "Agreement with two readers" in page
    assert "Between the readers: Dice 1.000" in page


@pytest.mark.parametrize("shift", [0, 1])
def test_the_consensus_is_that_of_simpleitk(shift: int) -> None:
    first, second = (np.zeros((4, 12, 12), bool) for _ in range(2))
    first[1:3, 2:8, 2:8] = True
    second[1:3, 2:8, 3 + shift : 10] = True
    images = [sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (first, second)]
    chance = sitk.GetArrayFromImage(sitk.STAPLE(images, 1.0))
    assert np.array_equal(staple(first, second), chance > 0.5 + 1e-6)
    assert np.array_equal(staple(first, first), first)


def test_where_a_reader_saw_no_tumor_there_is_no_consensus() -> None:
    first = np.ones((2, 4, 4), bool)
    assert not staple(first, ~first).any()
    assert not staple(~first, ~first).any()


def test_a_second_reader_who_lacks_cases_or_draws_elsewhere_is_refused(
    tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    method = predict(dataset, tmp_path / "ours", 5)
    second = predict(dataset, tmp_path / "second", 6)
    words = ["compare", f"ours={method}", "--dataset", str(dataset), "-o", str(tmp_path / "out")]
    words += ["--no-overlays", "--workers", "1", "--second-reader"]
    assert main([*words, str(tmp_path / "nowhere")]) == 1
    assert "is not a folder" in capsys.readouterr().err
    (second / "PST_3_T2.nii.gz").unlink()
    assert main([*words, str(second)]) == 1
    assert "1 of 8 cases have no mask (PST_3_T2)" in capsys.readouterr().err
    save(second / "PST_3_T2.nii.gz", 3 * tumor(6))
    assert main([*words, str(second)]) == 1
    assert "--second-reader: PST_3_T2: holds other values than 0, 1" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
