"""A dataset, a comparison and training logs, from which the tests of the report make theirs."""

from __future__ import annotations

import base64
import csv
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from scipy import stats

from nnunet_pst.cli.main import main
from nnunet_pst.evaluation.evaluate import evaluate_predictions
from nnunet_pst.evaluation.references import references_of_dataset
from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.volumes import Volume, read_voxels, write_volume

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
    center = np.array(shape) * rng.uniform(0.4, 0.6, 3)
    radii = np.array(shape) * rng.uniform(0.1, 0.4, 3) * (1.0, 0.6, 0.6)
    angle = np.arctan2(y - center[1], x - center[2])
    lumps = 1 + 0.15 * np.sin(3 * angle + rng.uniform(0, 6))
    parts = [((a - c) / r) ** 2 for a, c, r in zip((z, y, x), center, radii, strict=True)]
    return (sum(parts) < lumps).astype(np.uint8)


def make_image(rng: np.random.Generator, lesion: np.ndarray) -> np.ndarray:
    _, y, x = np.indices(lesion.shape)
    height, width = lesion.shape[1:]
    body = ((y / height - 0.5) / 0.45) ** 2 + ((x / width - 0.5) / 0.48) ** 2 < 1
    gray = np.where(body, 260 + 60 * np.sin(x / 7) * np.cos(y / 9), 0) + 220 * lesion
    return (gray + rng.normal(0, 18, lesion.shape)).clip(0).astype(np.float32)


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
    compared = ("found", "dice_found", "dice", "iou")
    compared += ("hd95_found_mm", "hd95_mm", "volume_error_ml")
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
                        "p_mean": p,
                        "p_mean_holm": min(1.0, 2 * p)
                        if measure == "dice" and level == "all"
                        else "",
                        "effect": float(np.sign(delta).mean()),
                        **{"wins": int((delta > 0).sum()), "ties": int((delta == 0).sum())},
                        **{"losses": int((delta < 0).sum()), "noninferior": ""},
                        **{"p_noninferior": "", "p_equivalent": "", "equivalent": ""},
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
                learned = level * (1 - math.exp(-(epoch + 1) / (8 + fold)))
                stamp = f"2026-11-25 07:{epoch % 60:02d}:00.123456:"
                lines += [
                    f"{stamp}  ",
                    f"{stamp} Epoch {epoch} ",
                    f"{stamp} Current learning rate: 0.01 ",
                    f"{stamp} train_loss {0.9 - learned:.4f} ",
                    f"{stamp} val_loss {0.95 - 0.9 * learned:.4f} ",
                    f"{stamp} Pseudo dice [np.float32({learned:.4f})] ",
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
