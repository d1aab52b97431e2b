"""The whole of ``evaluate`` on tiny datasets: averages, refusals, files, the command."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from nnunet_pst.case_scoring import score_case
from nnunet_pst.cli.main import main
from nnunet_pst.errors import InputError
from nnunet_pst.evaluation import evaluate_predictions, scored_before
from nnunet_pst.geometry import Grid
from nnunet_pst.references import references_in_folder, references_of_dataset
from nnunet_pst.scores import Evaluation
from nnunet_pst.volumes import Volume, write_volume

SHAPE = (7, 12, 10)
GRID = Grid((10, 12, 7), (1.0, 1.0, 5.0), (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
TUMOR = np.zeros(SHAPE, np.uint8)
TUMOR[2:5, 4:8, 4:8] = 1
#: Half of it: Dice 2/3, IoU 1/2.
HALF = TUMOR.copy()
HALF[:, :, 6:] = 0
NOTHING = np.zeros(SHAPE, np.uint8)

#: Case: patient, sequence, split, label, prediction.
CASES = {
    "PST_0001_T1": ("PST_0001", "T1", "test", TUMOR, TUMOR),
    "PST_0001_T2": ("PST_0001", "T2", "test", TUMOR, NOTHING),
    "PST_0002_T2": ("PST_0002", "T2", "test", TUMOR, HALF),
    "PST_0003_T2": ("PST_0003", "T2", "test", TUMOR, TUMOR),
}


def save(path: Path, array: np.ndarray, grid: Grid = GRID) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(path, Volume(array, grid))


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A raw dataset with four test cases, and one validation case with unknown slices."""
    folder = tmp_path / "raw" / "DatasetPST"
    rows = ["case,patient,sequence,split,label_kind,annotated,first,last,age"]
    image = np.random.default_rng(0).normal(100, 10, SHAPE).astype(np.float32)
    for name, (patient, sequence, split, label, _) in CASES.items():
        save(folder / "labelsTs" / f"{name}.nii.gz", label)
        save(folder / "imagesTs" / f"{name}_0000.nii.gz", image)
        rows.append(f"{name},{patient},{sequence},{split},fine,,,,61")
    coarse = TUMOR.copy()
    coarse[:2] = 2
    save(folder / "labelsTr" / "PST_0004_T1.nii.gz", coarse)
    save(folder / "imagesTr" / "PST_0004_T1_0000.nii.gz", image)
    rows.append("PST_0004_T1,PST_0004,T1,val,coarse,2-6,,,44")
    (folder / "cases.csv").write_text("\n".join(rows) + "\n")
    description = {"file_ending": ".nii.gz", "nnunet_pst": {"simulate_coarse": None}}
    description["nnunet_pst"] |= {"coarse_slices": 1}
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    """What nnUNetv2_predict leaves for the four test cases."""
    folder = tmp_path / "predictions"
    for name, (*_, prediction) in CASES.items():
        save(folder / f"{name}.nii.gz", prediction)
    for name in ("dataset.json", "plans.json", "predict_from_raw_data_args.json"):
        (folder / name).write_text("{}")
    return folder


def rewrite_case(dataset: Path, name: str) -> None:
    """Give the first case of ``cases.csv`` another name."""
    table = dataset / "cases.csv"
    table.write_text(table.read_text().replace("PST_0001_T1,", f"{name},", 1))


def score(predictions: Path, dataset: Path, output: Path | None = None, **rest) -> Evaluation:
    references = references_of_dataset(dataset)
    return evaluate_predictions(predictions, references, output=output, **rest)


def problems_of(predictions: Path, dataset: Path, output: Path, **rest) -> list[str]:
    """Problems of an evaluation that must fail, and must leave nothing, hidden or not."""
    before = sorted(output.parent.rglob("*"))
    with pytest.raises(InputError) as error:
        score(predictions, dataset, output, **rest)
    assert sorted(output.parent.rglob("*")) == before
    return error.value.problems


def test_patients_weigh_the_same(predictions: Path, dataset: Path):
    result = score(predictions, dataset)
    dice = {row["case"]: row["dice"] for row in result.cases}
    assert dice == pytest.approx(
        {"PST_0001_T1": 1, "PST_0001_T2": 0, "PST_0002_T2": 2 / 3, "PST_0003_T2": 1}
    )
    patients = {row["patient"]: row["dice"] for row in result.patients}
    assert patients == pytest.approx({"PST_0001": 1 / 2, "PST_0002": 2 / 3, "PST_0003": 1})
    assert [row["cases"] for row in result.patients] == [2, 1, 1]
    sequences = {row["sequence"]: row for row in result.sequences}
    assert sequences["T1"]["dice_mean"] == 1
    assert sequences["T2"]["dice_mean"] == pytest.approx((0 + 2 / 3 + 1) / 3)
    assert sequences["all"]["dice_mean"] == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)
    assert sequences["all"]["dice_median"] == pytest.approx(2 / 3)


def test_undefined_values_are_left_out_and_counted(predictions: Path, dataset: Path):
    precision = score(predictions, dataset).summary["sequences"]["T2"]["precision"]
    assert precision == {"mean": 1.0, "median": 1.0, "min": 1.0, "max": 1.0, "n": 2}


def test_summary_says_how_it_was_made(predictions: Path, dataset: Path):
    summary = score(predictions, dataset).summary
    assert summary["window_slices"] == 1  # from dataset.json
    assert summary["empty_masks"] == {
        "reference_and_prediction": 0,
        "reference_only": 0,
        "prediction_only": 1,
    }
    assert (summary["cases"], summary["patients"]) == (4, 3)
    assert summary["predictions"] == "predictions"
    assert "numpy" in summary["versions"]


def test_volumes_are_in_millilitres(predictions: Path, dataset: Path):
    row = score(predictions, dataset).cases[2]
    assert row["reference_ml"] == pytest.approx(3 * 4 * 4 * 5 / 1000)
    assert row["predicted_ml"] == pytest.approx(3 * 4 * 2 * 5 / 1000)


def test_files(predictions: Path, dataset: Path, tmp_path: Path):
    output = tmp_path / "out" / "scores"
    result = score(predictions, dataset, output)
    names = sorted(path.relative_to(output).as_posix() for path in output.rglob("*"))
    assert names == [
        "cases.csv",
        "contact_sheet.png",
        "long.csv",
        "overlays",
        *(f"overlays/{name}.png" for name in CASES),
        "patients.csv",
        "sequences.csv",
        "summary.json",
        "window_distance.csv",
    ]
    assert [path.name for path in output.parent.iterdir()] == ["scores"]
    assert json.loads((output / "summary.json").read_text()) == result.summary
    with (output / "cases.csv").open(newline="") as file:
        rows = {row["case"]: row for row in csv.DictReader(file)}
    assert rows["PST_0002_T2"]["dice"] == "0.666667"
    assert rows["PST_0001_T2"]["precision"] == ""  # not defined
    assert rows["PST_0001_T2"]["patient"] == "PST_0001"


def test_no_machine_path_in_what_is_shared(predictions: Path, dataset: Path, tmp_path: Path):
    score(predictions, dataset, tmp_path / "scores")
    files = [path for path in (tmp_path / "scores").rglob("*") if path.is_file()]
    assert all(str(tmp_path).encode() not in path.read_bytes() for path in files)


def test_several_processes_give_the_same_files(predictions: Path, dataset: Path, tmp_path: Path):
    outputs = [tmp_path / "one", tmp_path / "two"]
    for workers, output in enumerate(outputs, start=1):
        score(predictions, dataset, output, workers=workers)
    one, two = ({p.name: p.read_bytes() for p in o.rglob("*") if p.is_file()} for o in outputs)
    assert one == two


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


def test_coarse_labels_are_scored_where_annotated(dataset: Path, tmp_path: Path):
    prediction = TUMOR.copy()
    prediction[:2] = 1  # only where nobody knows
    save(tmp_path / "val" / "PST_0004_T1.nii.gz", prediction)
    result = evaluate_predictions(tmp_path / "val", references_of_dataset(dataset, "val"))
    assert result.cases[0]["dice"] == 1
    assert result.cases[0]["known_share"] == pytest.approx(5 / 7)
    assert result.summary["cases_with_unknown_voxels"] == 1


def test_a_dataset_of_another_maker(predictions: Path, dataset: Path):
    (dataset / "cases.csv").unlink()
    (dataset / "dataset.json").write_text('{"file_ending": ".nii.gz"}')
    references = references_of_dataset(dataset)
    assert references.window == 5
    result = evaluate_predictions(predictions, references)
    assert [row["patient"] for row in result.patients] == list(CASES)
    assert [row["sequence"] for row in result.sequences] == ["all"]
    with pytest.raises(InputError, match=r"no cases\.csv"):
        references_of_dataset(dataset, "val")


def test_a_folder_of_labels(predictions: Path, dataset: Path, tmp_path: Path):
    labels = dataset / "labelsTs"
    bare = evaluate_predictions(predictions, references_in_folder(labels), output=tmp_path / "bare")
    assert not (tmp_path / "bare" / "overlays").exists()  # there are no images
    assert len(bare.patients) == 4
    grouped = references_in_folder(
        labels, images=dataset / "imagesTs", table=dataset / "cases.csv", window=1
    )
    result = evaluate_predictions(predictions, grouped, output=tmp_path / "full")
    assert (tmp_path / "full" / "contact_sheet.png").is_file()
    assert result.patients == score(predictions, dataset).patients


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda folder: (folder / "dataset.json").unlink(), "no dataset.json"),
        (lambda folder: (folder / "dataset.json").write_text("{"), "not valid JSON"),
        (lambda folder: (folder / "dataset.json").write_text("[]"), "no JSON object"),
        (lambda folder: (folder / "cases.csv").write_text("case,split\n"), "patient, sequence"),
        (lambda folder: (folder / "labelsTs").rename(folder / "elsewhere"), "has no labelsTs"),
        (
            lambda folder: (folder / "cases.csv").write_text("case,patient,sequence,split\n"),
            "has no test cases",
        ),
        (lambda folder: rewrite_case(folder, "../../PST_0001_T1"), "no plain file name"),
        (lambda folder: rewrite_case(folder, ""), "no plain file name"),
        (lambda folder: rewrite_case(folder, "PST_0001_T2"), "stands in several rows"),
    ],
)
def test_a_broken_dataset_is_named(dataset: Path, break_it, message: str):
    break_it(dataset)
    with pytest.raises(InputError, match=message):
        references_of_dataset(dataset)


def test_command(predictions: Path, dataset: Path, monkeypatch, capsys):
    monkeypatch.setenv("nnUNet_raw", str(dataset.parent))
    assert main(["evaluate", str(predictions), "--dataset", "DatasetPST", "--workers", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["sequence", "patients", "Dice", "IoU"]
    assert lines[3].split()[:3] == ["all", "3", "0.722"]
    assert any(line.startswith("empty masks: prediction only 1") for line in lines)
    assert (predictions / "evaluation" / "summary.json").is_file()


def test_command_prints_json(predictions: Path, dataset: Path, tmp_path: Path, capsys):
    words = ["evaluate", str(predictions), "--dataset", str(dataset), "--json", "--no-overlays"]
    assert main([*words, "--workers", "1", "-o", str(tmp_path / "out"), "--window", "2"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["window_slices"] == 2
    assert summary["overall"]["dice"]["n"] == 3


def test_command_says_when_labels_are_coarse(dataset: Path, tmp_path: Path, capsys):
    save(tmp_path / "val" / "PST_0004_T1.nii.gz", TUMOR)
    words = ["evaluate", str(tmp_path / "val"), "--dataset", str(dataset), "--split", "val"]
    assert main(words) == 0
    assert "annotated voxels only" in capsys.readouterr().out
    description = json.loads((dataset / "dataset.json").read_text())
    description["nnunet_pst"]["unknown"] = "background"
    (dataset / "dataset.json").write_text(json.dumps(description))
    assert main([*words, "--overwrite"]) == 0
    assert "not drawn as background" in capsys.readouterr().out


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


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


@pytest.fixture
def count_scored(monkeypatch) -> list[str]:
    """Names of the cases that are scored, as they are."""
    names: list[str] = []

    def counted(job):
        names.append(job.case.name)
        return score_case(job)

    monkeypatch.setattr("nnunet_pst.evaluation.score_case", counted)
    return names


def interrupt_at(number: int, monkeypatch) -> None:
    """Let an evaluation be broken off (Ctrl-C) after so many cases."""
    left = [number]

    def broken(job):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return score_case(job)

    monkeypatch.setattr("nnunet_pst.evaluation.score_case", broken)


def interrupted(predictions: Path, dataset: Path, output: Path, monkeypatch, at=3, **rest) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(at, patch)
        with pytest.raises(KeyboardInterrupt):
            score(predictions, dataset, output, **rest)
    assert scored_before(output) == at


def test_an_interrupted_evaluation_goes_on(
    predictions: Path, dataset: Path, tmp_path: Path, monkeypatch, request
):
    score(predictions, dataset, tmp_path / "whole")
    interrupted(predictions, dataset, tmp_path / "scores", monkeypatch, at=2)
    assert not (tmp_path / "scores").exists()
    scored = request.getfixturevalue("count_scored")
    result = score(predictions, dataset, tmp_path / "scores")
    assert scored == ["PST_0002_T2", "PST_0003_T2"]
    assert result.kept == 2
    assert contents(tmp_path / "scores") == contents(tmp_path / "whole")
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("change", "again"),
    [
        (lambda predictions, _: save(predictions / "PST_0001_T2.nii.gz", TUMOR), 2),
        (lambda _, dataset: save(dataset / "labelsTs" / "PST_0001_T2.nii.gz", HALF), 2),
        (lambda predictions, _: (predictions / "PST_0002_T2.nii.gz").touch(), 1),
    ],
    ids=["prediction", "label", "date only"],
)
def test_what_changed_is_scored_again(
    predictions: Path, dataset: Path, tmp_path: Path, monkeypatch, request, change, again: int
):
    interrupted(predictions, dataset, tmp_path / "scores", monkeypatch, overlays=False)
    change(predictions, dataset)
    count_scored = request.getfixturevalue("count_scored")
    score(predictions, dataset, tmp_path / "scores", overlays=False)
    assert len(count_scored) == again
    score(predictions, dataset, tmp_path / "anew", overlays=False)
    assert contents(tmp_path / "scores") == contents(tmp_path / "anew")


@pytest.mark.parametrize("setting", [{"tolerances_mm": (1.0,)}, {"overlays": False}])
def test_other_settings_score_again(
    predictions: Path, dataset: Path, tmp_path: Path, monkeypatch, setting: dict
):
    interrupted(predictions, dataset, tmp_path / "scores", monkeypatch)
    assert score(predictions, dataset, tmp_path / "scores", **setting).kept == 0
    score(predictions, dataset, tmp_path / "anew", **setting)
    assert contents(tmp_path / "scores") == contents(tmp_path / "anew")


def test_long_table_and_distances(predictions: Path, dataset: Path, tmp_path: Path):
    result = score(predictions, dataset, tmp_path / "scores", tolerances_mm=(2, 4.5))
    with (tmp_path / "scores" / "long.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * len(result.measures)
    assert list(rows[0]) == ["case", "patient", "sequence", "measure", "unit", "value"]
    (half,) = (r for r in rows if (r["case"], r["measure"]) == ("PST_0002_T2", "nsd_4.5mm"))
    assert 0 < float(half["value"]) <= 1
    with (tmp_path / "scores" / "window_distance.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["case"] == "PST_0002_T2"]
    # The tumour has three slices, the window one on each side of the middle one.
    assert [(r["distance_slices"], r["slices"], r["dice"]) for r in rows] == [
        ("0", "3", "0.666667"),
        ("1", "2", ""),
        ("2", "2", ""),
    ]
    bins = result.summary["window_distance"]
    assert bins["0"]["dice"]["n"] == 3
    assert bins["1-2"]["dice"]["n"] == 0


def test_a_cohort_without_tumour_has_no_window(dataset: Path, tmp_path: Path):
    for name in CASES:
        save(dataset / "labelsTs" / f"{name}.nii.gz", NOTHING)
        save(tmp_path / "empty" / f"{name}.nii.gz", NOTHING)
    result = score(tmp_path / "empty", dataset, tmp_path / "scores")
    assert result.distances == []
    assert result.summary["overall"]["hd95_mm"]["mean"] == 0
    assert (tmp_path / "scores" / "window_distance.csv").read_text().startswith("case,patient")


def test_command_says_that_it_goes_on(
    predictions: Path, dataset: Path, tmp_path: Path, monkeypatch, capsys
):
    words = ["evaluate", str(predictions), "--dataset", str(dataset), "--workers", "1"]
    words += ["-o", str(tmp_path / "out"), "--no-overlays", "--tolerances", "1.5"]
    with monkeypatch.context() as patch:
        interrupt_at(3, patch)
        assert main(words) == 130
    capsys.readouterr()
    assert main(words) == 0
    said = capsys.readouterr()
    assert "going on" in said.err
    assert "3 of 4 cases" in said.err
    assert "3 cases were scored before the interruption and kept" in said.out
    assert "nsd_1.5mm" in (tmp_path / "out" / "cases.csv").read_text()
    with pytest.raises(SystemExit):
        main([*words, "--tolerances", "nan"])


def test_nothing_goes_on_in_a_wrong_folder(
    predictions: Path, dataset: Path, tmp_path: Path, monkeypatch, capsys
):
    output = tmp_path / "out"
    interrupted(predictions, dataset, output, monkeypatch)
    words = ["--dataset", str(dataset), "--workers", "1", "-o", str(output)]
    assert main(["evaluate", str(tmp_path / "nowhere"), *words]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "nowhere: is not a folder" in line
    assert scored_before(output) == 3  # a slip costs no work


def test_a_refusal_removes_what_an_interruption_left(
    predictions: Path, dataset: Path, tmp_path: Path, monkeypatch
):
    interrupted(predictions, dataset, tmp_path / "out", monkeypatch)
    (predictions / "PST_0003_T2.nii.gz").write_bytes(b"no image")
    with pytest.raises(InputError):
        score(predictions, dataset, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


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
