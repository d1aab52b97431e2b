"""Exit codes and messages of the command line: 0 done, 1 refused, 2 usage, 3 done in part."""

from __future__ import annotations

import argparse
import importlib
import json
import types
from pathlib import Path

import pytest

from nnunet_pst import __version__
from nnunet_pst.cli import info, main
from nnunet_pst.errors import HostError, InputError, PartlyDoneError
from nnunet_pst.nnunet import installation
from nnunet_pst.nnunet.installation import Finding


def stand_in(monkeypatch: pytest.MonkeyPatch, outcome: int | BaseException):
    """Put a verb in the place of `env` that ends with ``outcome``."""

    def run(_: argparse.Namespace) -> int:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    module = types.SimpleNamespace(add_arguments=lambda parser: None, run=run)
    monkeypatch.setattr(importlib, "import_module", lambda name: module)


@pytest.mark.parametrize(
    ("outcome", "code", "lines"),
    [
        (0, 0, []),
        (InputError(["row 2: one", "row 3: two"]), 1, ["error: row 2: one", "error: row 3: two"]),
        (HostError("not set up"), 1, ["error: not set up"]),
        (PartlyDoneError("case 4 failed"), 3, ["error: case 4 failed"]),
    ],
)
def test_exit_codes_and_one_line_per_problem(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    outcome: int | BaseException,
    code: int,
    lines: list[str],
):
    stand_in(monkeypatch, outcome)
    assert main.main(["env"]) == code
    printed = capsys.readouterr()
    assert printed.err.splitlines() == lines
    assert printed.out == ""


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch):
    stand_in(monkeypatch, ZeroDivisionError("ours"))
    with pytest.raises(ZeroDivisionError):
        main.main(["env"])


@pytest.mark.parametrize("words", [[], ["dance"], ["env"], ["env", "--no-such", "x"]])
def test_wrong_usage_is_2(capsys: pytest.CaptureFixture[str], words: list[str]):
    with pytest.raises(SystemExit) as stop:
        main.main(words)
    assert stop.value.code == 2
    assert "usage: nnunet_pst" in capsys.readouterr().err


def test_version_and_help(capsys: pytest.CaptureFixture[str]):
    for words in (["--version"], ["--help"]):
        with pytest.raises(SystemExit) as stop:
            main.main(words)
        assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert f"nnunet_pst {__version__}" in printed
    assert "not a medical device" in " ".join(printed.split())


@pytest.mark.parametrize("verb", main.VERBS)
def test_every_verb_has_its_module_and_help(capsys: pytest.CaptureFixture[str], verb: str):
    with pytest.raises(SystemExit) as stop:
        main.main([verb, "--help"])
    assert stop.value.code == 0
    assert main.VERBS[verb] in " ".join(capsys.readouterr().out.split())


def test_env_as_json(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    assert main.main(["env", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["nnUNet_raw"] == str(tmp_path / "nnUNet_raw")


def test_env_refuses_without_printing_shell_lines(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    (tmp_path / "file").touch()
    assert main.main(["env", str(tmp_path / "file")]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1


def test_env_notes_a_change_where_eval_does_not_see_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("nnUNet_raw", "/elsewhere")
    assert main.main(["env", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert "note: nnUNet_raw was /elsewhere" in printed.err
    assert all(line.startswith("export ") for line in printed.out.splitlines())


FINE = Finding("nnUNet_raw", "set, writable", "", "/home/somebody/raw")
WRONG = Finding("nnUNet_results", "not set", "nnUNet_results is not set; run env")


@pytest.mark.parametrize("output", [[], ["--json"]])
@pytest.mark.parametrize(("findings", "code"), [([FINE], 0), ([FINE, WRONG], 1)])
def test_info_reports_and_fails_only_for_what_is_missing(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    output: list[str],
    findings: list[Finding],
    code: int,
):
    monkeypatch.setattr(installation, "collect_info", lambda: findings)
    assert main.main(["info", *output]) == code
    printed = capsys.readouterr()
    assert "set, writable" in printed.out
    assert printed.err.splitlines() == ([f"error: {WRONG.to_do}"] if code else [])
    assert "somebody" not in printed.out + printed.err


def test_info_shows_paths_on_request_only():
    assert info.as_text([FINE], paths=True).splitlines() == [
        "nnUNet_raw  set, writable",
        "            /home/somebody/raw",
    ]
    assert info.as_text([FINE], paths=False) == "nnUNet_raw  set, writable"
    assert json.loads(info.as_json([FINE], paths=True))["nnUNet_raw"]["detail"]
    assert "detail" not in json.loads(info.as_json([FINE], paths=False))["nnUNet_raw"]
