"""What ``evaluate`` refuses, in a few lines, with nothing left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
import SimpleITK as sitk  # noqa: N813

from evaluation_example import GRID, TUMOR, problems_of, rewrite_case, save, score
from nnunet_pst.cli.main import main
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.evaluation.evaluate import evaluate_predictions
from nnunet_pst.evaluation.references import references_in_folder, references_of_dataset
from nnunet_pst.io.geometry import Grid


def test_all_problems_at_once_and_nothing_written(predictions: Path, dataset: Path, tmp_path: Path):
    (predictions / "PST_0001_T1.nii.gz").unlink()
    save(predictions / "PST_0009_T1.nii.gz", TUMOR)
    strange = TUMOR.copy()
    strange[0, 0, :2] = 2, 7
    save(predictions / "PST_0001_T2.nii.gz", strange)
    shifted = Grid(GRID.size_xyz, GRID.spacing_xyz_mm, (0.0, 0.5, 0.0), GRID.direction)
    save(predictions / "PST_0002_T2.nii.gz", TUMOR, shifted)
    (predictions / "PST_0003_T2.nii.gz").write_bytes(b"no image")
    problems = problems_of(predictions, dataset, tmp_path / "scores")
    assert len(problems) == 5
    text = "\n".join(problems)
    assert "PST_0001_T1: has no prediction; predict its image in imagesTs, or give" in text
    extra = "PST_0009_T1: is predicted but not a case of DatasetPST test; move it elsewhere"
    assert extra in text
    assert "PST_0001_T2: prediction holds the values 2, 7; expected 0, 1" in text
    assert "PST_0002_T2: prediction and reference lie on different grids (up to 0.5 voxels" in text
    assert "voxels apart); predict from the image that belongs to this label" in text
    assert "PST_0003_T2: " in problems[-1]


def test_other_matrix(predictions: Path, dataset: Path, tmp_path: Path):
    grid = Grid((10, 12, 6), GRID.spacing_xyz_mm, GRID.origin_lps_mm, GRID.direction)
    save(predictions / "PST_0001_T1.nii.gz", TUMOR[:6], grid)
    (problem,) = problems_of(predictions, dataset, tmp_path / "scores")
    assert "10 x 12 x 6" in problem
    assert "10 x 12 x 7" in problem


def test_a_missing_label_or_image_is_named(predictions: Path, dataset: Path, tmp_path: Path):
    (dataset / "labelsTs" / "PST_0001_T1.nii.gz").unlink()
    (dataset / "imagesTs" / "PST_0002_T2_0000.nii.gz").unlink()
    problems = problems_of(predictions, dataset, tmp_path / "scores")
    assert problems == [
        "PST_0001_T1: labelsTs/PST_0001_T1.nii.gz is missing",
        "PST_0002_T2: imagesTs/PST_0002_T2_0000.nii.gz is missing",
    ]


def test_an_earlier_evaluation_is_replaced_only_on_request(
    predictions: Path, dataset: Path, tmp_path: Path
):
    output = tmp_path / "scores"
    score(predictions, dataset, output)
    (problem,) = problems_of(predictions, dataset, output)
    assert "--overwrite" in problem
    save(predictions / "PST_0001_T2.nii.gz", TUMOR)
    score(predictions, dataset, output, overwrite=True, overlays=False)
    names = sorted(path.name for path in output.iterdir())
    assert names == [
        "cases.csv",
        "long.csv",
        "patients.csv",
        "sequences.csv",
        "summary.json",
        "window_distance.csv",
    ]
    assert "PST_0001_T2,PST_0001,T2,1,1" in (output / "cases.csv").read_text()


def test_a_folder_with_other_things_is_never_replaced(
    predictions: Path, dataset: Path, tmp_path: Path
):
    output = tmp_path / "thesis"
    output.mkdir()
    (output / "chapter1.docx").write_text("years of work")
    (problem,) = problems_of(predictions, dataset, output, overwrite=True)
    assert "chapter1.docx" in problem


@pytest.mark.parametrize(
    ("break_it", "fault"),
    [
        (lambda folder: (folder / "dataset.json").unlink(), Fault.MISSING),
        (lambda folder: (folder / "dataset.json").write_text("{"), Fault.DAMAGED),
        (lambda folder: (folder / "dataset.json").write_text("[]"), Fault.WRONG_TYPE),
        (lambda folder: (folder / "cases.csv").write_text("case,split\n"), Fault.MISSING),
        (lambda folder: (folder / "labelsTs").rename(folder / "elsewhere"), Fault.MISSING),
        (
            lambda folder: (folder / "cases.csv").write_text("case,patient,sequence,split\n"),
            Fault.EMPTY,
        ),
        (lambda folder: rewrite_case(folder, "../../PST_0001_T1"), Fault.MALFORMED),
        (lambda folder: rewrite_case(folder, ""), Fault.MALFORMED),
        (lambda folder: rewrite_case(folder, "PST_0001_T2"), Fault.REPEATED),
    ],
)
def test_a_broken_dataset_is_refused(dataset: Path, break_it, fault: Fault):
    break_it(dataset)
    with pytest.raises(InputError) as caught:
        references_of_dataset(dataset)
    assert caught.value.fault is fault


def test_command_refuses_in_one_line_each(predictions: Path, dataset: Path, monkeypatch, capsys):
    (predictions / "PST_0001_T1.nii.gz").unlink()
    (predictions / "PST_0001_T2.nii.gz").unlink()
    words = ["evaluate", str(predictions), "--workers", "1", "--dataset"]
    assert main([*words, str(dataset)]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"error: {name}: has no prediction; predict its image in imagesTs, or give the folder that "
        "holds it"
        for name in ("PST_0001_T1", "PST_0001_T2")
    ]
    monkeypatch.delenv("nnUNet_raw", raising=False)
    assert main([*words, "DatasetPST"]) == 1
    assert "nnUNet_raw is not set" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["--dataset", "A", "--references", "B"]])
def test_command_wants_one_source(words: list[str], capsys):
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "predictions", *words])
    assert stop.value.code == 2


def test_the_predictions_of_another_split_are_named(predictions: Path, dataset: Path, tmp_path):
    """A folder of validation cases, and one that mixes them with test cases."""
    save(tmp_path / "val" / "PST_0004_T1.nii.gz", TUMOR)
    (line,) = problems_of(tmp_path / "val", dataset, tmp_path / "out", overlays=False)
    assert "holds none of the 4 cases of DatasetPST test" in line
    assert "but 1 val case; give --split val" in line
    save(predictions / "PST_0004_T1.nii.gz", TUMOR)
    (line,) = problems_of(predictions, dataset, tmp_path / "out", overlays=False)
    assert line == (
        f"{predictions}: holds 4 test cases to score, and 1 val case (PST_0004_T1); move "
        "the latter to a folder of their own, and score that with --split val"
    )


@pytest.mark.parametrize("table", [True, False])
def test_a_folder_of_another_dataset_is_one_line(dataset: Path, tmp_path: Path, table: bool):
    if not table:
        (dataset / "cases.csv").unlink()
    for number in range(12):
        save(tmp_path / "others" / f"KITS_{number:03d}.nii.gz", TUMOR)
    (line,) = problems_of(tmp_path / "others", dataset, tmp_path / "out")
    assert "holds none of the 4 cases of DatasetPST test (PST_0001_T1, " in line
    assert "but KITS_000, KITS_001, KITS_002, KITS_003 and 8 more; give another dataset" in line


def test_a_mistake_of_all_cases_is_no_flood_of_lines(tmp_path: Path):
    """Each with its own number of voxels apart, and two that are missing."""
    for number in range(14):
        save(tmp_path / "labels" / f"case{number}.nii.gz", TUMOR)
        grid = Grid(GRID.size_xyz, GRID.spacing_xyz_mm, (0.0, 1.0 + number, 0.0), GRID.direction)
        if number > 1:
            save(tmp_path / "masks" / f"case{number}.nii.gz", TUMOR, grid)
    references = references_in_folder(tmp_path / "labels")
    with pytest.raises(InputError) as error:
        evaluate_predictions(tmp_path / "masks", references, output=tmp_path / "out")
    lines = error.value.problems
    assert ["has no prediction" in line for line in lines] == [True] * 2 + [False] * 5
    assert all("different grids" in line for line in lines[2:6])
    assert lines[6] == "and 8 more like the last one"


def test_no_workers_are_wrong_usage(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "predictions", "--dataset", "A", "--workers", "0"])
    assert stop.value.code == 2
    assert "--workers: must be 1 or more" in capsys.readouterr().err


@pytest.mark.parametrize("ending", [".nii", ".mha", ".nrrd"])
def test_folders_of_other_formats(predictions: Path, dataset: Path, tmp_path: Path, ending: str):
    folders = {"labels": dataset / "labelsTs", "masks": predictions}
    for name, folder in folders.items():
        (tmp_path / name).mkdir()
        for path in folder.glob("*.nii.gz"):
            case = path.name.removesuffix(".nii.gz")
            sitk.WriteImage(sitk.ReadImage(str(path)), str(tmp_path / name / f"{case}{ending}"))
    references = references_in_folder(tmp_path / "labels")
    found = evaluate_predictions(tmp_path / "masks", references)
    expected = evaluate_predictions(predictions, references_in_folder(dataset / "labelsTs"))
    assert [row["dice"] for row in found.cases] == [row["dice"] for row in expected.cases]
    (tmp_path / "labels" / "other.nii.gz").touch()
    with pytest.raises(InputError) as caught:
        references_in_folder(tmp_path / "labels")
    assert caught.value.fault is Fault.AMBIGUOUS
