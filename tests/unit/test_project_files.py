"""Files about the project: forms, citation, hooks, the workflow and the page of licenses."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CHECKOUT = Path(__file__).parents[2]
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINNED = dict(
    re.findall(
        r"^([\w-]+)==([\w.]+)", (CHECKOUT / "constraints.txt").read_text("utf-8"), re.MULTILINE
    )
)
FORMS = sorted((CHECKOUT / ".github" / "ISSUE_TEMPLATE").glob("[a-z]*.yml"))


def loaded(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", [f for f in FORMS if f.stem != "config"], ids=lambda p: p.stem)
def test_issue_forms_ask_for_what_a_maintainer_needs(path: Path):
    form = loaded(path)
    assert {"name", "description", "body"} <= set(form)
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert all(field["id"] and field["attributes"]["label"] for field in fields)


def test_the_bug_form_warns_of_patient_data_and_asks_for_info():
    text = (CHECKOUT / ".github" / "ISSUE_TEMPLATE" / "bug.yml").read_text(encoding="utf-8")
    assert "Never attach" in text
    assert "nnunet_pst info" in text


def test_the_citation_names_software_paper_and_host():
    citation = loaded(CHECKOUT / "CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert citation["license"] == PROJECT["license"]
    assert citation["authors"] == [{"name": "The nnunet_pst maintainers"}]
    assert [one["doi"] for one in citation["references"]] == [
        "10.1186/s40644-025-00850-8",
        "10.1038/s41592-020-01008-z",
    ]
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    paper = (CHECKOUT / "docs" / "paper.md").read_text(encoding="utf-8")
    title = citation["references"][0]["title"]
    for text in (readme, paper):
        assert title in " ".join(text.split())


def test_hooks_are_the_tested_versions():
    hooks = [
        hook
        for repository in loaded(CHECKOUT / ".pre-commit-config.yaml")["repos"]
        for hook in repository["hooks"]
    ]
    assert {hook["id"] for hook in hooks} == {"ruff-check", "ruff-format", "codespell"}
    for hook in hooks:
        name, _, version = hook["additional_dependencies"][0].partition("==")
        assert PINNED[name] == version


def test_the_workflow_covers_the_supported_pythons_and_runs_targets_that_exist():
    workflow = loaded(CHECKOUT / ".github" / "workflows" / "tests.yml")
    matrix = workflow["jobs"]["quick"]["strategy"]["matrix"]
    minors = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert matrix["python"] == minors
    assert {one["os"] for one in matrix["include"]} >= {"macos-latest", "windows-latest"}
    assert all(one["experimental"] for one in matrix["include"])
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    for step in workflow["jobs"]["whole"]["steps"]:
        for target in step.get("run", "").removeprefix("make ").split():
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_page_of_licenses_names_every_direct_dependency():
    page = (CHECKOUT / "docs" / "project" / "dependencies.md").read_text(encoding="utf-8")
    extras = PROJECT["optional-dependencies"]
    wanted = [
        *PROJECT["dependencies"],
        *(e for x in ("ants", "openvino", "slurm") for e in extras[x]),
    ]
    for entry in wanted:
        name = re.sub(r"[-_.]+", "-", re.split(r"[<>=! ]", entry)[0]).lower()
        row = re.search(rf"^\| {name} \| \S+ \| (.+) \| yes \|$", page, re.MULTILINE)
        assert row, f"{name}: run .ci/dependencies.py"
        assert row[1] != "not stated", name


@pytest.mark.skipif(find_spec("codespell_lib") is None, reason="codespell is not installed")
def test_spelling():
    done = subprocess.run(
        [sys.executable, "-m", "codespell_lib"], cwd=CHECKOUT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_nothing_public_names_a_machine_or_a_private_place():
    for path in (
        *(CHECKOUT / ".github").rglob("*.*"),
        *(CHECKOUT / "docs").rglob("*.md"),
        *CHECKOUT.glob("*.md"),
        *CHECKOUT.glob("*.c??"),
    ):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"/(home|root|Users|work|tmp)/\w", text), path.name


def test_every_extra_is_on_the_page_about_installing():
    page = (CHECKOUT / "docs" / "install.md").read_text(encoding="utf-8")
    for extra in PROJECT["optional-dependencies"]:
        assert f"| `{extra}` |" in page, extra


def test_quick_leaves_out_files_that_exist():
    for line in (CHECKOUT / "tests" / "quick.txt").read_text(encoding="utf-8").splitlines():
        kind, _, place = line.partition("=")
        assert kind in {"--ignore", "--deselect"}
        file, _, name = place.partition("::")
        assert (CHECKOUT / file).is_file(), line
        assert f"def {name}(" in (CHECKOUT / file).read_text(encoding="utf-8") if name else True, (
            line
        )
