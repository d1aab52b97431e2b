"""The report: what it says, what it refuses, what it asks for, and the same bytes every time."""

from __future__ import annotations

import base64
import csv
import json
import math
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image
from scipy import stats

from nnunet_pst.case_table import read_case_table
from nnunet_pst.cli.main import main
from nnunet_pst.evaluation import evaluate_predictions
from nnunet_pst.geometry import Grid
from nnunet_pst.references import references_of_dataset
from nnunet_pst.report import writing
from nnunet_pst.report.comparison_folder import read_comparison
from nnunet_pst.report.dataset_facts import read_dataset
from nnunet_pst.report.page import Figures, tumour_sizes
from nnunet_pst.report.sources import Sources
from nnunet_pst.volumes import Volume, read_voxels, write_volume

DATASET = "DatasetPST"
SEQUENCES = ("T1", "T2")
#: Method: share of the slices beyond the window that it finds, and shift of its masks in pixels.
METHODS = {"2d_5": (0.9, 1), "2d": (0.6, 2), "3d_fullres": (0.4, 3)}
BASELINE = "2d"


def write_rows(path: Path, rows: Iterable[dict[str, object]]) -> None:
    rows = list(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        for row in rows:
            cells = {
                key: ("" if isinstance(value, float) and math.isnan(value) else value)
                for key, value in row.items()
            }
            writer.writerow(cells)


def make_lesion(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """A lumpy lesion over some slices."""
    z, y, x = np.indices(shape)
    centre = np.array(shape) * rng.uniform(0.4, 0.6, 3)
    radii = np.array(shape) * rng.uniform(0.1, 0.4, 3) * (1.0, 0.6, 0.6)
    angle = np.arctan2(y - centre[1], x - centre[2])
    lumps = 1 + 0.15 * np.sin(3 * angle + rng.uniform(0, 6))
    parts = [((a - c) / r) ** 2 for a, c, r in zip((z, y, x), centre, radii, strict=True)]
    return (sum(parts) < lumps).astype(np.uint8)


def make_image(rng: np.random.Generator, lesion: np.ndarray) -> np.ndarray:
    _, y, x = np.indices(lesion.shape)
    height, width = lesion.shape[1:]
    body = ((y / height - 0.5) / 0.45) ** 2 + ((x / width - 0.5) / 0.48) ** 2 < 1
    grey = np.where(body, 260 + 60 * np.sin(x / 7) * np.cos(y / 9), 0) + 220 * lesion
    return (grey + rng.normal(0, 18, lesion.shape)).clip(0).astype(np.float32)


def predict(
    rng: np.random.Generator, lesion: np.ndarray, beyond: float, shift: int, window: int
) -> np.ndarray:
    """A mask that is shifted, and that loses some slices far from the largest one."""
    found = np.roll(lesion, (shift, -shift), (1, 2))
    largest = int(lesion.sum(axis=(1, 2)).argmax())
    for index in range(len(lesion)):
        if abs(index - largest) > window and rng.random() > beyond:
            found[index] = 0
    return found


def make_dataset(raw: Path, patients: int, shape: tuple[int, int, int], window: int) -> Path:
    """A raw dataset with test patients and a table of training patients without images."""
    folder = raw / DATASET
    rows: list[dict[str, object]] = []
    grid = Grid(shape[::-1], (0.8, 0.8, 5.0), (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    for number in range(1, 3 * patients + 1):
        rng = np.random.default_rng(number)
        name = f"PST_{number:04d}"
        split = "test" if number <= patients else ("val" if number % 4 == 0 else "train")
        lesion = make_lesion(rng, shape)
        for sequence in SEQUENCES:
            case = f"{name}_{sequence}"
            row = {"case": case, "patient": name, "sequence": sequence, "split": split}
            kind = "fine" if split == "test" else "coarse"
            facts = {"label_kind": kind, "annotated": "", "first": "", "last": ""}
            size = f"{(lesion.sum() * 3.2 / 1000) ** (1 / 3) * 1.24:.1f}"
            more = {"age": 30 + number, "sex": "FM"[number % 2], "size_cm": size}
            rows.append({**row, **facts, **more, "location": ("sacrum", "iliac")[number % 2]})
            if split == "test":
                for kind, array in (("images", make_image(rng, lesion)), ("labels", lesion)):
                    ending = "_0000" if kind == "images" else ""
                    path = folder / f"{kind}Ts" / f"{case}{ending}.nii.gz"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_volume(path, Volume(array, grid))
    write_rows(folder / "cases.csv", rows)
    rules = {"version": "0.1.0", "layout": "all-sequence", "coarse_slices": window}
    rules |= {"simulate_coarse": None, "far_negatives": False, "unknown": "ignore"}
    description = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "tumor": 1, "ignore": 2},
        "file_ending": ".nii.gz",
        "nnunet_pst": {**rules, "sequences": list(SEQUENCES)},
    }
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


def make_comparison(
    folder: Path, dataset: Path, predictions: Path, *, overlays: bool = True, seed: int = 7
) -> Path:
    """A comparison folder in the form that `compare` writes, with intervals good for a test."""
    references = references_of_dataset(dataset)
    cases: list[dict[str, object]] = []
    evaluations = {}
    for method, (beyond, shift) in METHODS.items():
        for case in references.cases:
            rng = np.random.default_rng([seed, *map(ord, case.name), shift])
            label = read_voxels(case.label)
            mask = predict(rng, label.array, beyond, shift, references.window)
            path = predictions / method / f"{case.name}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_volume(path, Volume(mask.astype(np.uint8), label.grid))
        evaluation = evaluate_predictions(
            predictions / method,
            references,
            output=folder / "methods" / method,
            overlays=overlays,
        )
        evaluations[method] = evaluation
        cases += [{"method": method, "repeat": "1", **row} for row in evaluation.cases]
    write_rows(folder / "cases.csv", cases)
    measures = evaluations[BASELINE].summary["measures"]
    compared = ("dice", "iou", "hd95_mm", "volume_error_ml")
    intervals, differences = made_up_statistics(cases, {name: measures[name] for name in compared})
    write_rows(folder / "intervals.csv", intervals)
    write_rows(folder / "differences.csv", differences)
    facts = {
        "dataset": DATASET,
        "split": "test",
        "methods": {name: {"folders": [name], "repeats": 1} for name in METHODS},
        "baseline": BASELINE,
        "measures": {name: measures[name] for name in compared},
        "seed": seed,
        "resamples": 10000,
        "interval": "normal, in place of a bootstrap",
        "level": 0.95,
        "family": "every method against the baseline in Dice",
        "margin": 0.05,
        "versions": {"nnunet_pst": "0.1.0", "scipy": "1.15.3"},
        "strata": {
            "all": {"patients": {"all": 6}, "cut_points": [], "missing": 0},
            "sequence": {"patients": dict.fromkeys(SEQUENCES, 6), "cut_points": [], "missing": 0},
        },
        "warnings": ["no strata by scanner: it has more than 10 categories"],
    }
    (folder / "comparison.json").write_text(json.dumps(facts, indent=2))
    return folder


def made_up_statistics(
    cases: list[dict[str, object]], measures: dict[str, object]
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Normal intervals and the signed-rank test: stand-ins for `compare`'s."""
    intervals, differences = [], []
    for stratum, level in (("all", "all"), *(("sequence", name) for name in SEQUENCES)):
        for measure in measures:
            tables = {}
            for method in METHODS:
                by_patient: dict[str, list[float]] = {}
                for row in cases:
                    if row["method"] == method and level in ("all", row["sequence"]):
                        by_patient.setdefault(str(row["patient"]), []).append(float(row[measure]))
                tables[method] = {
                    name: float(np.mean(values)) for name, values in by_patient.items()
                }
                values = np.array([v for v in tables[method].values() if not math.isnan(v)])
                key = {"measure": measure, "stratum": stratum, "level": level, "method": method}
                if len(values) < 2:
                    continue
                half = 1.96 * values.std(ddof=1) / len(values) ** 0.5
                middle = float(values.mean())
                numbers = {"mean": middle, "low": middle - half, "high": middle + half}
                median = float(np.median(values))
                intervals.append({**key, "patients": len(values), **numbers, "median": median})
            for method in METHODS:
                if method == BASELINE:
                    continue
                shared = sorted(set(tables[method]) & set(tables[BASELINE]))
                delta = np.array([tables[method][n] - tables[BASELINE][n] for n in shared])
                delta = delta[~np.isnan(delta)]
                if len(delta) < 2:
                    continue
                p = float(stats.wilcoxon(delta).pvalue) if delta.any() else 1.0
                half = 1.96 * delta.std(ddof=1) / len(delta) ** 0.5
                differences.append(
                    {
                        **{"measure": measure, "stratum": stratum, "level": level},
                        **{"method": method, "baseline": BASELINE, "patients": len(delta)},
                        **{"difference": float(delta.mean()), "low": delta.mean() - half},
                        **{"high": delta.mean() + half, "p": p},
                        "p_holm": min(1.0, 2 * p) if measure == "dice" and level == "all" else "",
                        "effect": float(np.sign(delta).mean()),
                        **{"wins": int((delta > 0).sum()), "ties": int((delta == 0).sum())},
                        **{"losses": int((delta < 0).sum()), "noninferior": ""},
                    }
                )
    return intervals, differences


def make_results(folder: Path, epochs: int = 40) -> Path:
    """Training logs as nnU-Net 2.8 writes them, without a checkpoint."""
    for model, level in (
        ("nnUNetTrainerPST25D__nnUNetPlans__2d_5", 0.8),
        ("nnUNetTrainer__nnUNetPlans__2d", 0.7),
    ):
        for fold in range(2):
            lines = ["", "#####", "Please cite ...", "2026-11-25 07:25:53.297661: Epochs 0 to 39 "]
            for epoch in range(epochs):
                learnt = level * (1 - math.exp(-(epoch + 1) / (8 + fold)))
                stamp = f"2026-11-25 07:{epoch % 60:02d}:00.123456:"
                lines += [
                    f"{stamp}  ",
                    f"{stamp} Epoch {epoch} ",
                    f"{stamp} Current learning rate: 0.01 ",
                    f"{stamp} train_loss {0.9 - learnt:.4f} ",
                    f"{stamp} val_loss {0.95 - 0.9 * learnt:.4f} ",
                    f"{stamp} Pseudo dice [np.float32({learnt:.4f})] ",
                    f"{stamp} Epoch time: 12.5 s ",
                ]
            path = folder / DATASET / model / f"fold_{fold}" / "training_log_2026_11_5_07_25_53.txt"
            path.parent.mkdir(parents=True)
            path.write_text("\n".join(lines) + "\n")
    return folder / DATASET


@dataclass(frozen=True)
class Example:
    """Folders that a report is made from, and words for the command line."""

    folder: Path

    @property
    def comparison(self) -> Path:
        return self.folder / "comparison"

    @property
    def dataset(self) -> Path:
        return self.folder / "raw" / DATASET

    @property
    def results(self) -> Path:
        return self.folder / "results" / DATASET

    @property
    def page(self) -> Path:
        return self.comparison / "report.html"

    def report(self, *words: str) -> int:
        return main(["report", str(self.comparison), *words])

    def full(self, *words: str) -> str:
        """The page with everything there is."""
        more = ["--dataset", str(self.dataset), "--results", str(self.results), *words]
        assert self.report(*more) == 0
        return self.page.read_text(encoding="utf-8")

    def change(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six test patients, two sequences, three methods; pictures of one colour as overlays."""
    folder = tmp_path_factory.mktemp("example")
    dataset = make_dataset(folder / "raw", 6, (16, 24, 24), 2)
    make_comparison(folder / "comparison", dataset, folder / "predictions", overlays=False)
    make_results(folder / "results", epochs=4)
    for place, case in enumerate(references_of_dataset(dataset).cases):
        for method in METHODS:
            path = folder / "comparison" / "methods" / method / "overlays" / f"{case.name}.png"
            path.parent.mkdir(exist_ok=True)
            Image.new("RGB", (1430, 572), (10 * place, 80, 90)).save(path)
    return folder


@pytest.fixture
def example(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Example:
    """A copy of its own for each test, and no dataset that is found by itself."""
    for variable in ("nnUNet_raw", "nnUNet_results"):
        monkeypatch.delenv(variable, raising=False)
    shutil.copytree(built, tmp_path / "home-of-mustermann")
    return Example(tmp_path / "home-of-mustermann")


@pytest.fixture(scope="module")
def whole(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Example:
    """A finished report that tests only look at; the folder and a log name a person."""
    folder = tmp_path_factory.mktemp("whole") / "home-of-mustermann"
    shutil.copytree(built, folder)
    example = Example(folder)
    log = next(example.results.rglob("training_log_*.txt"))
    log.write_text(f"Using splits from /data/mustermann/splits.json\n{log.read_text()}")
    example.full()
    return example


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No figures and no pictures: the page's words come faster."""
    monkeypatch.setattr(writing, "draw_figures", lambda _: Figures((), ()))
    monkeypatch.setattr(writing, "make_galleries", lambda _: ())


class Seen(HTMLParser):
    """Tags, addresses and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.addresses: list[str] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name in {"src", "href", "srcset", "data", "action"}:
                self.addresses.append(value or "")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def drawings(html: str) -> list[str]:
    found = re.findall(r"data:image/svg\+xml;base64,([^\"]+)", html)
    return [base64.b64decode(one).decode() for one in found]


def test_a_report_has_all_its_parts(whole: Example):
    page = Seen(whole.page.read_text())
    for words in (
        "Comparison on DatasetPST",
        "not a medical device",
        "2d_5 against 2d",
        "mean paired difference in Dice",
        "slices nobody drew on",
        "Table 1: characteristics of the patients characteristic",
        "Other measures and sizes, only described",
        "reference volume (ml)",
        "Notes of the comparison no strata by scanner",
        "groups by sequence T1 (n = 6); T2 (n = 6)",
        "95 % interval (normal, in place of a bootstrap)",
        "Dashed: the declared margin of 0.05",
        "Other measures of every patient",
        "Means of the compared measures",
        "Dice in groups of patients",
        "Paired differences in Dice",
        "Tumour volume: agreement with the reference",
        "Dice against the tumour's size",
        "Away from the annotated window",
        "Learning curves",
        "No sequences of this dataset were registered",
        "seed of the resampling",
        "no patient is in two splits (checked)",
        "for the authors",
    ):
        assert words in page.text, words
    names = {path.name for path in (whole.comparison / "report_figures").iterdir()}
    assert {"dice_by_method.svg", "dice_by_method.png", "learning_curves.svg"} <= names
    assert len(drawings(whole.page.read_text())) == len(names) / 2
    assert page.text.count("worst") >= 3
    assert "worst PST_" in page.text


def test_a_report_asks_no_network_for_anything(whole: Example):
    html = whole.page.read_text()
    page = Seen(html)
    for address in page.addresses:
        assert address.startswith(("data:image/", "#", "https://doi.org/")), address
    assert page.tags.isdisjoint({"script", "link", "iframe", "object", "embed", "base", "form"})
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    for drawing in drawings(html):
        for address in re.findall(r"href=\"([^\"]*)\"", drawing):
            assert address.startswith("#"), address
        assert "<image" not in drawing


PLANTED = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def test_strange_names_are_escaped(example: Example):
    strange = "<b onclick=a()>$frac{ \N{CJK UNIFIED IDEOGRAPH-65B9}"
    for name in ("cases.csv", "intervals.csv", "differences.csv"):
        path = example.comparison / name
        path.write_text(path.read_text().replace("3d_fullres", strange))
    facts = json.loads((example.comparison / "comparison.json").read_text())
    facts["methods"] = ["2d_5", "2d", strange]
    facts["warnings"] = [PLANTED]
    facts["versions"] = {PLANTED: PLANTED}
    (example.comparison / "comparison.json").write_text(json.dumps(facts))
    description = json.loads((example.dataset / "dataset.json").read_text())
    description["description"] = PLANTED
    description["nnunet_pst"]["registration"] = {PLANTED: [PLANTED]}
    (example.dataset / "dataset.json").write_text(json.dumps(description))
    page = Seen(example.full())
    assert page.tags.isdisjoint({"script"})
    assert page.attributes.isdisjoint({"onclick", "onerror"})
    assert PLANTED in page.text
    assert "no overlays in the comparison folder" in page.text.casefold()


def test_what_is_missing_is_said_to_be_missing(example: Example):
    for path in (example.comparison / "methods").rglob("*"):
        if path.name == "window_distance.csv" or path.suffix == ".png":
            path.unlink()
    assert example.report() == 0
    text = Seen(example.page.read_text()).text
    for words in (
        "Give the dataset with --dataset",
        "Table 1: characteristics of the patients Not shown: give the dataset",
        "no training logs were found; give --results",
        "the evaluations hold no window_distance.csv",
        "No overlays in the comparison folder",
        "Table 3: input strategies, by tested sequence Not shown: no sweep was given",
    ):
        assert words in text, words


def test_the_same_input_gives_the_same_bytes(whole: Example, example: Example):
    def everything(one: Example) -> dict[str, bytes]:
        figures = (one.comparison / "report_figures").iterdir()
        return {path.name: path.read_bytes() for path in (one.page, *figures)}

    with matplotlib.rc_context({"font.size": 20}):  # a user's own settings change nothing
        example.full()
    assert everything(example) == everything(whole)
    assert not any(b"<dc:date>" in content for content in everything(whole).values())


def test_a_report_names_no_folder_and_no_date(whole: Example):
    html = whole.page.read_text()
    shown = "\n".join([html, *drawings(html)]).casefold()
    for word in ("mustermann", "/data", "2026-", "2026_", "07:25", "/tmp"):
        assert word not in re.sub(r"base64,[^\"]+", "", shown), word


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("dataset.json", '"unknown": "ignore"', '"unknown": "background"', "Ablation: this"),
        ("dataset.json", '"labels"', '"description": "A Phantom", "labels"', "Synthetic images"),
        ("cases.csv", "PST_0007,T2,train", "PST_0001,T2,train", "Splits are broken: 1 patient"),
    ],
)
def test_what_nobody_may_miss_stands_on_top(
    example: Example, name: str, old: str, new: str, words: str
):
    assert words not in Seen(example.full()).text
    example.change(f"raw/{DATASET}/{name}", old, new)
    text = Seen(example.full("--overwrite")).text
    assert words in text[: text.index("What was found")] + text[:900]


@pytest.mark.usefixtures("undrawn")
def test_registration_flags(example: Example):
    table = example.folder / "raw" / "registration" / DATASET / "registration.csv"
    row = {"patient": "PST_0001", "reference": "T2", "moving": "CET1", "engine": "simpleitk"}
    fine = {**row, "model": "rigid", "used": "registered", "reason": ""}
    bad = {**fine, "patient": "PST_0002", "used": "scanner", "reason": "bodies overlap by 0.2 only"}
    write_rows(table, [fine, bad])
    text = Seen(example.full()).text
    assert "1 of 2 pairs of sequences were not registered" in text
    assert "bodies overlap by 0.2 only" in text


def test_size_comes_from_the_table_else_from_the_label(example: Example):
    comparison = read_comparison(example.comparison)
    sizes, what = tumour_sizes(Sources(comparison, read_dataset(example.dataset), None, ()))
    assert "cm" in what
    rows = read_case_table(example.dataset / "cases.csv")
    assert sizes == {r["patient"]: float(r["size_cm"]) for r in rows if r["split"] == "test"}
    volumes, what = tumour_sizes(Sources(comparison, None, None, ()))
    assert "ml" in what
    assert volumes == comparison.patient_means("reference_ml", "2d")


@pytest.mark.usefixtures("undrawn")
def test_datasets_are_found_by_the_name_of_the_comparison(
    example: Example, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("nnUNet_raw", str(example.folder / "raw"))
    monkeypatch.setenv("nnUNet_results", str(example.folder / "results"))
    assert example.report() == 0
    text = Seen(example.page.read_text()).text
    assert "Patients and cases by split" in text
    assert "2 models, 4 trainings" in text


@pytest.mark.usefixtures("undrawn")
def test_tables_of_a_sweep(example: Example):
    sweep = example.folder / "sweep"
    row = {"trained_on": "T1+T2", "configuration": "2d_5", "runs_done": 1, "runs": 3}
    scores = {"T1_dice": 0.5, "T1_dice_patients": 6, "T1_iou": 0.4, "T1_iou_patients": 6}
    empty = dict.fromkeys(scores, "")
    write_rows(sweep / "table3.csv", [{**row, **scores}, {**row, "runs_done": 0, **empty}])
    text = Seen(example.full("--sweep", str(sweep))).text
    assert "IoU" not in text[text.index("Table 3") : text.index("Table 4")]
    assert "T1+T2 2d_5 1 of 3 0.500 n = 6 T1+T2" in text
    assert "0 of 3 \N{EN DASH}" in text
    assert "Table 2: architectures, all sequences Not shown: the sweep has not made" in text


@pytest.mark.usefixtures("undrawn")
def test_a_comparison_that_compare_wrote(example: Example, tmp_path: Path):
    predictions = example.folder / "predictions"
    output = tmp_path / "compared"
    methods = [f"{name}={predictions / name}" for name in ("2d", "2d_5")]
    labels = ["--dataset", str(example.dataset), "--measures", "dice"]
    words = ["compare", *methods, *labels, "-o", str(output), "--workers", "1"]
    assert main([*words, "--margin", "0.05"]) == 0
    assert main(["report", str(output), "--dataset", str(example.dataset)]) == 0
    text = Seen((output / "report.html").read_text()).text
    for words_ in (
        "2d_5 against 2d Higher Dice than the baseline",
        "With the declared margin of 0.05, it is not worse",
        "95 % interval",
        "groups by sequence T1 (n = 6); T2 (n = 6)",
        "groups by sex F (n = 3); M (n = 3)",
        "Wilcoxon signed-rank",
        "seed of the resampling 0",
    ):
        assert words_ in text, words_
    assert main([*words, "--overwrite"]) == 0  # a report does not stand in the way


def problems(example: Example, capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """Lines of a refusal, which leaves everything as it was."""
    before = {path: path.stat().st_mtime_ns for path in example.folder.rglob("*")}
    capsys.readouterr()
    assert example.report(*words) == 1
    assert {path: path.stat().st_mtime_ns for path in example.folder.rglob("*")} == before
    return capsys.readouterr().err.splitlines()


def test_a_folder_that_is_no_comparison(example: Example, capsys: pytest.CaptureFixture[str]):
    (example.comparison / "comparison.json").unlink()
    (line,) = problems(example, capsys)
    assert "nnunet_pst compare" in line


def test_another_dataset_is_refused(
    example: Example, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    other = tmp_path / "DatasetOther"
    shutil.copytree(example.dataset, other)
    assert main(["report", str(example.comparison), "--dataset", str(other), "--overwrite"]) == 1
    assert f"the comparison is of {DATASET}" in capsys.readouterr().err


def test_a_table_that_is_cut_off(example: Example, capsys: pytest.CaptureFixture[str]):
    path = example.comparison / "cases.csv"
    path.write_text(path.read_text()[:-30])
    (line, *_) = problems(example, capsys)
    assert "is cut off or too long" in line


def test_every_problem_of_a_comparison_is_reported(
    example: Example, capsys: pytest.CaptureFixture[str]
):
    example.change("comparison/cases.csv", "2d_5,1,PST_0001_T1", "other,1,PST_0001_T1")
    example.change("comparison/intervals.csv", "median", "medium")
    (example.comparison / "differences.csv").write_bytes(b"\xff\xfe\x00")
    lines = problems(example, capsys)
    assert len(lines) == 3
    for words in ("'other' is not in", "lacks the columns median", "can't be read as a CSV"):
        assert any(words in line for line in lines), words


@pytest.mark.parametrize("name", ["../2d", "", "a/b", "..", "a\\b"])
def test_a_method_is_no_way_out_of_the_folder(
    example: Example, capsys: pytest.CaptureFixture[str], name: str
):
    facts = json.loads((example.comparison / "comparison.json").read_text())
    facts["methods"][name] = {}
    (example.comparison / "comparison.json").write_text(json.dumps(facts))
    (line,) = problems(example, capsys)
    assert "no plain folder name" in line


@pytest.mark.usefixtures("undrawn")
def test_a_report_is_replaced_only_when_asked(example: Example, capsys: pytest.CaptureFixture[str]):
    example.full()
    lines = problems(example, capsys)
    assert len(lines) == 2
    assert all("--overwrite" in line for line in lines)
    (example.comparison / "report_figures" / "thesis.docx").touch()
    (line,) = problems(example, capsys, "--overwrite")
    assert "thesis.docx" in line


def test_places_where_no_report_goes(example: Example, capsys: pytest.CaptureFixture[str]):
    (line,) = problems(example, capsys, "-o", str(example.folder / "report.pdf"))
    assert "ends in .html" in line
    (line,) = problems(example, capsys, "-o", str(example.folder / "nowhere" / "report.html"))
    assert "is no folder" in line


def test_a_dataset_that_was_named_must_be_there(
    example: Example, capsys: pytest.CaptureFixture[str]
):
    (line,) = problems(example, capsys, "--dataset", "DatasetOther")
    assert "nnUNet_raw is not set" in line


def test_a_folder_that_is_no_sweep(example: Example, capsys: pytest.CaptureFixture[str]):
    (line,) = problems(example, capsys, "--sweep", str(example.folder / "nowhere"))
    assert "nnunet_pst sweep" in line
    (line,) = problems(example, capsys, "--sweep", str(example.dataset))
    assert "DatasetPST: is no sweep; the folder of one, " in line
    assert "holds sweep.json, jobs/ and, of table2.csv, table3.csv, table4.csv" in line
