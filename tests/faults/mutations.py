"""Seeded damage to what people give to the verbs: tables, images, records, models."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenarios import DATASET, MODEL, Scenario


@dataclass(frozen=True)
class Target:
    """Files to damage, and the scenario that reads them.

    Attributes
    ----------
    scenario
        With its inputs in ``{work}``.
    files
        Of them, those to damage.
    """

    scenario: Scenario
    files: tuple[str, ...]


RAW = {"nnUNet_raw": "{work}/raw", "nnUNet_preprocessed": "{work}/preprocessed"}
DATA = f"raw/{DATASET}"
TARGETS = (
    Target(
        Scenario(
            "convert-damaged",
            (
                *("convert", "{work}/cohort/cohort.csv", "--dataset", DATASET, "--workers", "1"),
                *("--sequences", "T2"),
            ),
            given={"cohort": "cohort"},
            environ=RAW,
        ),
        ("cohort/cohort.csv", "cohort/0_T2.nii.gz", "cohort/0_T2_label.nii.gz"),
    ),
    Target(
        Scenario(
            "convert-records",
            (
                *("convert", "{in}/cohort/cohort.csv", "--dataset", DATASET, "--workers", "1"),
                *("--sequences", "T2"),
            ),
            given={"raw": "raw"},
            environ=RAW,
        ),
        (f"{DATA}_conversion.jsonl", f"{DATA}_patients.csv", f"{DATA}/dataset.json"),
    ),
    Target(
        Scenario(
            "cohort-damaged",
            ("cohort", "{work}/cohort/cohort.csv", "-o", "{work}/described"),
            given={"cohort/cohort.csv": "cohort/cohort.csv"},
        ),
        ("cohort/cohort.csv",),
    ),
    Target(
        Scenario(
            "evaluate-damaged",
            (
                *("evaluate", "{work}/predictions", "--dataset", DATASET, "--workers", "1"),
                *("-o", "{work}/scores", "--no-overlays"),
            ),
            given={"raw": "raw", "predictions": "predictions"},
            environ=RAW,
        ),
        (
            *(f"{DATA}/cases.csv", f"{DATA}/dataset.json"),
            *(f"{DATA}/labelsTs/PST_0005_T2.nii.gz", "predictions/PST_0005_T2.nii.gz"),
        ),
    ),
    Target(
        Scenario(
            "plan-damaged",
            ("plan", DATASET, "--extend"),
            given={"raw": "raw", "preprocessed": "preprocessed"},
            environ=RAW,
        ),
        (
            *(f"{DATA}/cases.csv", f"{DATA}/dataset.json"),
            f"preprocessed/{DATASET}/nnUNetPlans.json",
            f"preprocessed/{DATASET}/splits_final.json",
            f"preprocessed/{DATASET}/dataset_fingerprint.json",
        ),
    ),
    Target(
        Scenario(
            "report-damaged", ("report", "{work}/comparison"), given={"comparison": "comparison"}
        ),
        (
            *("comparison/comparison.json", "comparison/cases.csv", "comparison/intervals.csv"),
            *("comparison/differences.csv", "comparison/methods/one/window_distance.csv"),
        ),
    ),
    Target(
        Scenario("manifest-damaged", ("manifest", "{work}/model"), given={MODEL: "model"}),
        ("model/plans.json", "model/dataset.json"),
    ),
    Target(
        Scenario(
            "segment-damaged",
            (
                *("segment", "T2={work}/new/t2.nii.gz", "--model", "{work}/model"),
                *("-o", "{work}/masks", "--device", "cpu", "--no-mirroring"),
            ),
            given={MODEL: "model", "new": "new"},
        ),
        (
            *("model/plans.json", "model/dataset.json", "new/t2.nii.gz"),
            "model/fold_0/checkpoint_final.pth",
        ),
    ),
    Target(
        Scenario(
            "scan-damaged",
            ("scan", "{work}/dicom", "-o", "{work}/cohort.csv"),
            given={"dicom": "dicom"},
        ),
        ("dicom/anna/t2/03.dcm",),
    ),
)


def bytes_of(rng: random.Random, data: bytes) -> bytes:
    """Damage bytes: cut off, repeat, replace, remove or add some."""
    kind = rng.choice(("cut", "flip", "zero", "insert", "remove", "repeat", "empty"))
    if not data or kind == "empty":
        return b""
    at = rng.randrange(len(data))
    length = rng.choice((1, 4, 64, 1024))
    noise = rng.randbytes(length)
    return {
        "cut": data[:at],
        "flip": data[:at] + noise + data[at + length :],
        "zero": data[:at] + bytes(length) + data[at + length :],
        "insert": data[:at] + noise + data[at:],
        "remove": data[:at] + data[at + length :],
        "repeat": data + data[at:],
    }[kind]


def inside_gzip(rng: random.Random, data: bytes) -> bytes:
    """Damage the header or the voxels of a NIfTI, packed correctly again."""
    plain = bytearray(gzip.decompress(data))
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(352 if rng.random() < 0.8 else len(plain))
        plain[at] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
    cut = rng.random() < 0.1
    return gzip.compress(bytes(plain[: rng.randrange(len(plain))] if cut else plain), mtime=0)


def cells_of(rng: random.Random, data: bytes) -> bytes:
    """Change the cells, rows or signs of a table."""
    lines = [line.split(",") for line in data.decode().splitlines()]
    row = rng.randrange(len(lines))
    column = rng.randrange(len(lines[row]))
    cell = rng.choice(
        ("", " ", "-1", "nan", "1e400", "../..", "/", "\x00", "=1+1", "é\u202e", "a" * 300, "\n",
         '"', ";", "#", "#series=1", ".", "1;2-3", "999999999999999999999", "None", "\ud7ff", "\\"),
    )  # fmt: skip
    kind = rng.choice(("cell", "cell", "cell", "swap", "drop", "double", "encoding"))
    if kind == "cell":
        lines[row][column] = cell
    elif kind == "swap":
        other = rng.randrange(len(lines))
        lines[row], lines[other] = lines[other], lines[row]
    elif kind == "drop":
        del lines[row][column]
    elif kind == "double":
        lines.insert(row, list(lines[row]))
    text = "\n".join(",".join(line) for line in lines) + "\n"
    return text.encode("utf-16" if kind == "encoding" else "utf-8", "surrogatepass")


def values_of(rng: random.Random, data: bytes) -> bytes:
    """Change, remove or retype a value somewhere in JSON."""
    content = json.loads(data)
    place: Any = content
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            break
        key = rng.choice(keys)
        if isinstance(place[key], (dict, list)) and place[key] and rng.random() < 0.7:
            place = place[key]
            continue
        if rng.random() < 0.2:
            del place[key]
        else:
            place[key] = rng.choice(
                (None, 0, -1, 1e308, "", "x", [], {}, True, [[]], {"a": 1}, "../..", 10**30)
            )
        break
    return json.dumps(content).encode()


def mutate(file: Path, seed: int) -> None:
    """Damage a file in place, always in the same way for the same seed."""
    rng = random.Random(f"{file.name} {seed}")
    ways: list[Callable[[random.Random, bytes], bytes]] = [bytes_of]
    if file.name.endswith(".nii.gz"):
        ways += [inside_gzip] * 3
    elif file.suffix == ".csv":
        ways += [cells_of] * 4
    elif file.suffix in (".json", ".jsonl") and file.stat().st_size:
        ways += [values_of] * 4 if file.suffix == ".json" else []
    data = file.read_bytes()
    file.write_bytes(rng.choice(ways)(rng, data))
