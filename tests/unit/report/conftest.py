"""What a report is made from, and a finished one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from nnunet_pst.cli.main import main
from nnunet_pst.evaluation.references import references_of_dataset
from nnunet_pst.report import writing
from nnunet_pst.report.page import Figures
from page_reader import Page
from report_example import DATASET, METHODS, Example, make_comparison, make_dataset, make_results


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six test patients, two sequences, three methods; pictures of one color as overlays."""
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


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def compared(built: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Page, Path]:
    """A comparison by the package, with a margin, and its page without figures."""
    output = tmp_path_factory.mktemp("claims") / "comparison"
    words = [f"{name}={built / 'predictions' / name}" for name in sorted(METHODS)]
    more = ["--dataset", str(built / "raw" / DATASET), "-o", str(output), "--margin", "0.3"]
    assert main(["compare", *words, *more, "--no-overlays", "--workers", "1"]) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "draw_figures", lambda _: Figures((), ()))
        assert main(["report", str(output), "--dataset", str(built / "raw" / DATASET)]) == 0
    return Page((output / "report.html").read_text()), output
