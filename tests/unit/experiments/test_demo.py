"""The demo's bookkeeping and its page; tests/golden runs the whole demo."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest

from nnunet_pst.cli.main import main
from nnunet_pst.errors import Fault, HostError, InputError
from nnunet_pst.experiments import commands
from nnunet_pst.experiments import demo as module
from nnunet_pst.experiments.commands import Step
from nnunet_pst.experiments.demo import Demo, run_demo
from nnunet_pst.experiments.demo_page import DemoFacts, MethodRow, render_demo_page

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Commands write the page's inputs, and their names here, instead of running."""
    names: list[str] = []
    monkeypatch.delenv("NNUNET_PST_ENCODER_WEIGHTS", raising=False)

    def run(demo: Demo, step: Step, variables: dict[str, str]) -> float:
        names.append(step.name)
        if step.name == "phantom":
            (demo.folder / "phantom").mkdir()
            (demo.folder / "phantom" / "cohort.csv").write_text("split\ntrain\ntrain\ntest\n")
        if step.name.startswith("evaluate"):
            out = demo.predictions(step.name.removeprefix("evaluate_")) / "evaluation"
            out.mkdir(parents=True)
            (out / "contact_sheet.png").write_bytes(PNG)
            rows = [f"{sequence},0.5" for sequence in ("T1", "T2", "DWI", "CET1", "all")]
            (out / "sequences.csv").write_text("\n".join(["sequence,dice_mean", *rows]))
        assert variables["NNUNET_PST_SECONDS"] == str(module.SECONDS)
        return 7.0

    monkeypatch.setattr(module, "_run", run)
    return names


def test_all_steps_run_once_and_the_page_is_written(ran, tmp_path: Path):
    demo = Demo(tmp_path / "demo", patients=8, seed=0, device="cpu")
    page = run_demo(demo).read_text()
    assert ran == [step.name for step in demo.steps()]
    assert "0.500" in page
    assert "Synthetic images" in page
    assert "not\na medical device" in page
    assert str(tmp_path) not in page
    lines = page[page.index("<pre>") :].splitlines()
    assert "export NNUNET_PST_ENCODER_WEIGHTS=none" in lines
    assert f"export NNUNET_PST_SECONDS={module.SECONDS}" in lines
    assert (
        "nnunet_pst convert phantom/cohort.csv --dataset DatasetPhantom --sequences T2 DWI" in lines
    )


def test_the_page_shows_the_name_of_a_file_of_weights_only(ran, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("NNUNET_PST_ENCODER_WEIGHTS", "/home/somebody/encoder.safetensors")
    demo = Demo(tmp_path / "data", patients=8, seed=0, device="cpu")
    page = run_demo(demo).read_text()
    assert "encoder.safetensors" in page
    assert "somebody" not in page + (demo.folder / "steps.json").read_text()
    # A folder whose name is the end of another's must not be cut out of it.
    assert "-i nnunet_data/nnUNet_raw/DatasetPhantom/imagesTs" in page
    monkeypatch.delenv("NNUNET_PST_ENCODER_WEIGHTS")
    with pytest.raises(InputError) as caught:
        run_demo(demo)
    assert caught.value.fault is Fault.EXISTS


def test_a_folder_that_cannot_be_made_is_one_line(ran):
    with pytest.raises(InputError) as caught:
        run_demo(Demo(Path("/proc/nowhere/demo"), patients=8, seed=0, device="cpu"))
    assert caught.value.fault is Fault.UNWRITABLE


def test_a_killed_demo_goes_on(ran, tmp_path: Path, capsys):
    demo = Demo(tmp_path / "demo", patients=8, seed=0, device="cpu")
    run_demo(demo)
    record = demo.folder / "steps.json"
    content = json.loads(record.read_text())
    del content["seconds"]["predict_2d"]
    record.write_text(json.dumps(content))
    ran.clear()
    run_demo(demo)
    assert ran == ["predict_2d"]
    assert "train_2d: finished before, kept" in capsys.readouterr().out


def test_other_folders_are_refused(ran, tmp_path: Path):
    demo = Demo(tmp_path / "demo", patients=8, seed=0, device="cpu")
    run_demo(demo)
    with pytest.raises(InputError) as caught:
        run_demo(replace(demo, seed=1))
    assert caught.value.fault is Fault.EXISTS
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    with pytest.raises(InputError) as caught:
        run_demo(replace(demo, folder=tmp_path / "mine"))
    assert caught.value.fault is Fault.EXISTS


def test_a_failed_command_ends_the_demo_with_its_last_lines(tmp_path: Path, monkeypatch):
    script = tmp_path / "nnunet_pst"
    script.write_text("#!/bin/sh\necho 'error: the disk is full' >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setattr(commands, "_program", lambda name: str(script))
    with pytest.raises(HostError) as caught:
        run_demo(Demo(tmp_path / "demo", patients=8, seed=0, device="cpu"))
    assert "phantom failed (exit code 1)" in caught.value.problems[0]
    assert caught.value.problems[-1] == "error: the disk is full"
    assert json.loads((tmp_path / "demo" / "steps.json").read_text())["seconds"] == {}


def test_too_few_patients_are_wrong_usage(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["demo", "--patients", "3"])
    assert caught.value.code == 2
    assert "8 or more" in capsys.readouterr().err


def test_the_page_escapes_texts(tmp_path: Path):
    picture = tmp_path / "sheet.png"
    picture.write_bytes(PNG)
    page = render_demo_page(
        DemoFacts(
            date="2026-01-01",
            version="0",
            host_version="2.8",
            seed=0,
            machine="<script>x</script>",
            patients=8,
            training=6,
            test=2,
            window=5,
            weights="random weights",
            sequences=["T2"],
            rows=[MethodRow("<b>2d</b>", 1.0, 2.0, {"T2": 0.25, "all": 0.25})],
            pictures=[("<i>sheet</i>", picture)],
            commands=["a < b"],
        )
    )
    for text in ("<script>x", "<b>2d</b>", "<i>sheet</i>", "a < b"):
        assert text not in page
    assert "0.250" in page
    assert "http" not in page
