"""`make bench` on tiny arrays: everything runs, and what it writes is whole."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nnunet_pst.network.openvino_engine import multiplies_bfloat16

CHECKOUT = Path(__file__).parents[2]

SUMMARY = {"median", "min", "max", "values"}
ROW = {"name", "configuration", "extrapolated", "seconds", "items", "items_per_second",
       "times_as_fast_as", "imported_mb", "peak_mb"}  # fmt: skip
BATCH = ROW | {"batch", "pixels_per_item"}
VOLUME = ROW | {"input", "patch", "mirrorings", "parameters", "once_per_process_s"}
PREDICTED = [
    "2d_5",
    "2d_5, segment, torch",
    "2d_5, segment, openvino",
    *(["2d_5, segment, openvino-bf16"] if multiplies_bfloat16() else []),
    "stock 2d",
    "stock 3d_fullres",
]

LOADERS = [
    *(f"2d_5, {what}" for what in ("cold", "warm", "for a GPU, cold", "for a GPU, warm")),
    "stock 2d",
    "stock 2d, our crops",
]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmarks")
    command = [sys.executable, str(CHECKOUT / "benchmarks" / "run.py"), "--quick"]
    command += ["--device", "cpu", "--output", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def results(output: Path) -> dict[str, Any]:
    (file,) = output.glob("*.json")
    return dict(json.loads(file.read_text()))


@pytest.mark.parametrize(
    ("part", "names", "keys"),
    [
        ("loader", LOADERS, BATCH),
        (
            "train",
            ["2d_5", "2d_5 with its loader", "2d_5, single precision", "stock 2d"],
            BATCH | {"parameters"},
        ),
        ("predict", PREDICTED, VOLUME),
        ("memory", ["2d_5", "2d_5"], VOLUME),
    ],
)
def test_the_json_has_everything(results, part, names, keys):
    assert [row["name"] for row in results[part]] == names
    for row in results[part]:
        assert set(row) - {"tiles"} == keys
        for summary in (row["seconds"], row["items_per_second"], *row["times_as_fast_as"].values()):
            assert set(summary) == SUMMARY
            assert 0 < summary["min"] <= summary["median"] <= summary["max"]
        compared = {name for name in names if name.startswith("stock")} - {row["name"]}
        assert set(row["times_as_fast_as"]) == compared


def test_only_one_tile_is_extrapolated(results):
    rows = {row["name"]: row for row in results["predict"]}
    assert [name for name, row in rows.items() if row["extrapolated"]] == ["stock 3d_fullres"]
    assert rows["stock 3d_fullres"]["tiles"] == 1
    assert [row["mirrorings"] for row in rows.values()] == [4] * (len(PREDICTED) - 1) + [8]


def test_start_ups_are_measured_beside_stock(results):
    names = [row["name"] for row in results["start"]]
    assert [name.partition(",")[0] for name in names] == [
        "nnunet_pst --help",
        "nnunet_pst convert",
        "stock nnUNetv2_train --help",
    ]
    for row in results["start"]:
        assert 0 < row["seconds"]["min"] <= row["seconds"]["median"] <= row["seconds"]["max"]


def test_the_machine_is_described_without_its_name_or_paths(results, output):
    machine = results["machine"]
    assert {"cpu", "cores", "ram_gb", "gpu", "versions", "allocator_variables"} <= set(machine)
    assert {"torch", "nnunetv2", "nnunet_pst"} <= set(machine["versions"])
    for file in output.iterdir():
        text = file.name + file.read_text()
        assert str(output) not in text
        assert str(CHECKOUT) not in text
        assert platform.node() not in text.split()


def test_the_markdown_renders(results, output):
    (file,) = output.glob("*.md")
    assert file.stem.startswith(results["date"])
    text = file.read_text()
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 5
    for table in tables:
        widths = {line.count("|") for line in table.splitlines()}
        assert len(widths) == 1
        assert len(table.splitlines()) >= 4
    assert "extrapolated" in text


def test_cost_curves_are_measured_and_drawn(tmp_path: Path):
    command = [sys.executable, str(CHECKOUT / "benchmarks" / "curves.py"), "--quick"]
    command += ["--out", str(tmp_path / "out"), "--figure", str(tmp_path / "curves.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (file,) = (tmp_path / "out").glob("*.json")
    found = json.loads(file.read_text())
    sizes = [(row["patients"], row["workers"]) for row in found["conversion"]]
    assert sizes == [(2, 1), (2, 2), (4, 1), (4, 2)]
    assert [row["patients"] for row in found["training"]] == [2, 4]
    volumes = [(row["slices"], row["matrix"]) for row in found["prediction"]]
    assert volumes == [(8, 64), (10, 64), (8, 32)]
    assert all(row["seconds"] > 0 and row["peak_mb"] > 50 for row in found["prediction"])
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert str(tmp_path) not in file.read_text() + file.with_suffix(".md").read_text()


def test_the_estimate_for_a_gpu_counts_the_real_step():
    command = [sys.executable, str(CHECKOUT / "benchmarks" / "gpu_estimate.py")]
    command += ["--crop", "32", "--bags", "2", "--canvas", "40"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    counts, _, times = done.stdout.strip().split("\n\n")
    step = counts.splitlines()[2].split("|")
    # A MobileNetV2 U-Net has some 60 convolutions, each with its norm, forward and backward.
    assert 400 < int(step[2]) < 1200
    assert 0 < float(step[4]) < float(step[3])
    assert [row.split("|")[3].strip() for row in times.splitlines()[2:]] == ["launches"] * 3
