"""README and the site: lines that can be typed, numbers that the code agrees with, whole links."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest

import nnunet_pst
from nnunet_pst.cli.main import VERBS, build_parser
from nnunet_pst.dataset.layouts import LAYOUT_MODULES
from nnunet_pst.evaluation.score_tables import _DISTANCE_COLUMNS
from nnunet_pst.experiments import demo
from nnunet_pst.io.case_table import CASE_COLUMNS
from nnunet_pst.io.sequence_columns import FIXED_COLUMNS, SUFFIXES
from shell_blocks import Block, shell_blocks

CHECKOUT = Path(__file__).parents[2]
README = CHECKOUT / "README.md"
DOCS = CHECKOUT / "docs"
PAGES = [
    README,
    *(
        p
        for p in sorted(DOCS.rglob("*.md"))
        if "_build" not in p.parts and "decisions" not in p.parts
    ),
]
BLOCKS = [block for page in PAGES for block in shell_blocks(page)]
#: Pages whose blocks a reader copies and runs; results.md and the like record what was run.
GUIDES = ("README", "install", "phantom", "nifti", "dicom", "rounds", "compare", "share")


def code_of(verb: str | None, words: list[str]) -> int | str | None:
    """Exit code of parsing: 0 also for --version, which ends there."""
    try:
        build_parser(verb).parse_args(words)
    except SystemExit as stop:
        return stop.code
    return 0


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
def test_every_line_of_a_shell_block_is_understood(
    block: Block, capsys: pytest.CaptureFixture[str]
):
    ours = 0
    for words in block.commands():
        if words[0] == "nnunet_pst":
            ours += 1
            verb = next((word for word in words[1:] if not word.startswith("-")), None)
            assert code_of(verb, words[1:]) == 0, (
                f"{block.name}: {words}\n{capsys.readouterr().err}"
            )
        elif words[0].startswith("nnUNetv2_"):
            assert words[0] in HOST_COMMANDS, f"{block.name}: {words[0]}"
        elif words[0] == "make":
            targets = re.findall(r"^([a-z]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
            assert words[1] in targets, f"{block.name}: {words}"
    if block.page.stem in GUIDES:
        assert ours or list(block.commands()), f"{block.name}: nothing to run"


HOST_COMMANDS = {
    entry.name
    for entry in metadata.entry_points(group="console_scripts")
    if "nnunetv2" in entry.value
}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
def test_a_training_names_the_cpu_its_seconds_or_its_gpu(block: Block):
    if block.page.stem in {"results", "evidence", "speed", "reliability"}:
        return
    slow = [
        words
        for words in block.commands()
        if words[0] == "nnUNetv2_train" and not any("Seconds" in word for word in words)
    ]
    assert block.needs_gpu or not slow, f"{block.name}: start the block with '# needs a GPU'"


def test_flags_and_trainers_of_the_hosts_commands_exist():
    import nnunetv2

    source = Path(nnunetv2.__file__).parent
    train = (source / "run" / "run_training.py").read_text()
    predict = (source / "inference" / "predict_from_raw_data.py").read_text()
    trainers = {path.stem for path in (CHECKOUT / "trainers").glob("nnUNet*.py")} | {
        "nnUNetTrainer"
    }
    for block in BLOCKS:
        if block.page.stem in {"results", "evidence", "speed"}:
            continue
        for words in block.commands():
            text = {"nnUNetv2_train": train, "nnUNetv2_predict": predict}.get(words[0])
            if text is None:
                continue
            for flag in (word for word in words if re.fullmatch(r"--?[a-z_]+", word)):
                assert f"'{flag}'" in text or f'"{flag}"' in text, f"{block.name}: {flag}"
            if "-tr" in words:
                assert words[words.index("-tr") + 1] in trainers, f"{block.name}: {words}"


def test_the_demos_numbers_are_the_codes():
    parsed = build_parser("demo").parse_args(["demo"])
    for page in (README, DOCS / "tutorials" / "phantom.md"):
        text = " ".join(page.read_text(encoding="utf-8").split())
        assert f"{demo.SECONDS} seconds" in text, page.name
        assert f"{parsed.patients} " in text, page.name
        assert " and ".join(demo.SEQUENCES) in text, page.name


def test_readme_is_short_and_names_the_supported_versions():
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    project = (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")
    minors = re.findall(r"Python :: (3\.\d+)", project)
    assert f"Python {minors[0]} to {minors[-1]}" in text
    lowest, above = re.findall(r'requires-python = ">=(3\.\d+),<(3\.\d+)"', project)[0]
    assert minors[0] == lowest
    assert int(minors[-1][2:]) + 1 == int(above[2:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_relative_links_lead_somewhere(page: Path):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_verb_public_name_and_trainer_is_on_its_page():
    cli = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    assert re.findall(r"^```\{verb\} (\w+)$", cli, re.MULTILINE) == list(VERBS)
    python = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    named = set(re.findall(r"auto(?:function|class):: nnunet_pst\.(\w+)", python))
    assert named == set(nnunet_pst.__all__) - {"__version__"}
    settings = (DOCS / "reference" / "settings.md").read_text(encoding="utf-8")
    for path in (CHECKOUT / "trainers").glob("nnUNet*.py"):
        short = path.stem.replace("nnUNetTrainerPST25D", "")
        assert f"`{path.stem}`" in settings or f"`{short}`" in settings, path.stem


def test_columns_are_on_their_pages():
    table = (DOCS / "reference" / "cohort_table.md").read_text(encoding="utf-8")
    for name in (*FIXED_COLUMNS, *(f"<SEQ>_{suffix}" for suffix in SUFFIXES)):
        assert f"`{name}`" in table, name
    columns = (DOCS / "reference" / "tables.md").read_text(encoding="utf-8")
    from nnunet_pst.comparison.results import Difference
    from nnunet_pst.dicom.scan.scanned_rows import SeriesRow
    from nnunet_pst.segmentation.measures import TumorMeasures

    declared = [
        *CASE_COLUMNS,
        *_DISTANCE_COLUMNS,
        *(name for one in (SeriesRow, TumorMeasures, Difference) for name in one.__annotations__),
    ]
    for name in declared:
        assert f"`{name}`" in columns, name


def test_every_decision_is_in_the_index_once():
    index = (DOCS / "decisions" / "index.md").read_text(encoding="utf-8")
    listed = re.findall(r"^(\d{4}-[a-z0-9-]+)$", index, re.MULTILINE)
    assert sorted(listed) == sorted(p.stem for p in (DOCS / "decisions").glob("[0-9]*.md"))


def test_layouts_are_in_the_guides():
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert all(f"--layout {name}" in text or name == "all-sequence" for name in LAYOUT_MODULES)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("sphinx") is None, reason="the extra docs is not installed")
def test_the_site_builds_without_a_warning(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", DOCS, tmp_path],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
    )
    assert done.returncode == 0, done.stderr
    pages = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.html")}
    assert {"index.html", "reference/cli.html", "reference/python.html", "search.html"} <= pages
    text = (tmp_path / "reference" / "cli.html").read_text(encoding="utf-8")
    assert "--simulate-coarse" in text
    assert "numpydoc" not in text
    words = json.loads(
        (tmp_path / "searchindex.js")
        .read_text("utf-8")
        .removeprefix("Search.setIndex(")
        .rstrip(")")
    )
    assert "reference/cli" in words["docnames"]
    shutil.rmtree(tmp_path)
