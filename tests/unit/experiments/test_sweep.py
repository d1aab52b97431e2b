"""A sweep's datasets, jobs, and resumption after failures; its commands are fakes here."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nnunet_pst.cli.main import main
from nnunet_pst.dataset.splits import splits_like
from nnunet_pst.errors import Fault, HostError, InputError
from nnunet_pst.experiments import sweep_datasets, sweep_jobs, sweep_progress, sweep_running
from nnunet_pst.experiments.commands import Step
from nnunet_pst.experiments.sweep_record import read_sweep
from nnunet_pst.experiments.sweep_slurm import queued
from nnunet_pst.io import workers
from nnunet_pst.nnunet.planning import PlanningSettings

PATIENTS = {"anna": "train", "bert": "train", "carl": "train", "dora": "train", "eva": "test"}


@pytest.fixture
def table(cohort_files) -> Path:
    """Four training patients and a test patient; one of the former has no T1."""
    for patient, split in PATIENTS.items():
        sequences = ("T2", "CET1") if patient == "carl" else ("T1", "T2", "CET1")
        cohort_files.add(patient, sequences, split=split, label_kind="fine")
    return cohort_files.table


@pytest.fixture
def ran(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Planning and commands write their files without doing the work; returns their words."""
    preprocessed = tmp_path / "preprocessed"
    monkeypatch.setenv("nnUNet_preprocessed", str(preprocessed))
    monkeypatch.setenv("nnUNet_def_n_proc", "1")
    monkeypatch.setattr(sweep_jobs, "trainer_path", lambda existing: "trainers")
    words: list[list[str]] = []

    def plan(name: str, settings: PlanningSettings, *, workers: int) -> None:
        words.append(["plan", name, *settings.configurations])
        content = {"2d": {"data_identifier": "data"}, "2d_5": {"inherits_from": "2d", "pst": {}}}
        content |= {"2d_mobilenetv2": content["2d_5"]}
        file = preprocessed / name / "nnUNetPlans.json"
        file.write_text(json.dumps({"plans_name": "nnUNetPlans", "configurations": content}))
        for place in ("data", "gt_segmentations"):
            (preprocessed / name / place).mkdir()
        for label in (raw / name / "labelsTr").iterdir():
            (preprocessed / name / "data" / label.name.replace(".nii.gz", ".pkl")).touch()
            (preprocessed / name / "gt_segmentations" / label.name).touch()

    def run(step: Step, log: Path, variables: dict, *, inherit: list[int]) -> tuple[int, float]:
        words.append(list(step.words))
        log.write_text("first line\nRuntimeError: out of memory\n")
        if (tmp_path / f"fail_{log.parent.name}_{step.name}").exists():
            return 1, 2.0
        if step.name == "evaluate":
            write_scores(raw / log.parent.name.partition("__")[0], log.parent / "evaluation")
        return 0, 2.0

    # In this process, which has the fakes.
    monkeypatch.setattr(workers, "apart", lambda function, *arguments: function(*arguments))
    monkeypatch.setattr(sweep_datasets, "plan_dataset", plan)
    monkeypatch.setattr(sweep_jobs, "run_logged", run)
    return words


def write_scores(dataset: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    with (dataset / "cases.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    lines = [f"{row['case']},{row['patient']},{row['sequence']},0.5,0.333" for row in rows]
    (folder / "cases.csv").write_text("\n".join(["case,patient,sequence,dice,iou", *lines]))


@pytest.fixture
def sweep(table: Path, ran: list[list[str]], tmp_path: Path) -> Callable[..., int]:
    """Run the verb in ``tmp_path/out``."""

    def call(*words: str) -> int:
        start = ("sweep", str(table), "--dataset", "DatasetPST", "--out", str(tmp_path / "out"))
        return main([*start, "--registration", "none", "-device", "cpu", *words])

    return call


def test_folds_follow_the_patients():
    rows = [
        {"case": f"{patient}_{sequence}", "patient": patient, "split": split}
        for patient, split in (("A", "train"), ("B", "train"), ("C", "test"))
        for sequence in ("T1", "T2")
    ]
    splits = [{"train": ["A_T1", "A_T2"], "val": ["B_T1", "B_T2"]}]
    own = [row for row in rows if row["case"].endswith("T2")]
    assert splits_like(splits, rows, own) == [{"train": ["A_T2"], "val": ["B_T2"]}]
    assert splits_like(splits, rows, own[1:]) == [{"train": [], "val": ["B_T2"]}]


def test_all_datasets_have_the_same_pseudonyms_and_folds(sweep, raw: Path, tmp_path: Path):
    assert sweep("--table", "3", "4", "--folds", "1", "--seconds", "5") == 0
    names = sorted(path.name for path in raw.iterdir() if (path / "dataset.json").is_file())
    assert len(names) == 8  # 3 + 3 strategies, all sequences, the fusion
    keys = {(raw / f"{name}_patients.csv").read_text() for name in names}
    assert len(keys) == 1
    validation = []
    for name in names:
        splits = json.loads((tmp_path / "preprocessed" / name / "splits_final.json").read_text())
        validation.append([{case[:8] for case in fold["val"]} for fold in splits])
    whole = validation[0]
    # Four patients make four folds; PST_0003, without T1, is missing where T1 is the only one.
    assert len(whole) == 4
    assert set.union(*whole) == {"PST_0001", "PST_0002", "PST_0003", "PST_0004"}
    for name, own in zip(names, validation, strict=True):
        lacking = {"PST_0003"} if name == "DatasetPST_T1" else set()
        assert own == [patients - lacking for patients in whole]
    written = "".join(p.read_text() for p in (tmp_path / "out").iterdir() if p.is_file())
    assert not [name for name in (*PATIENTS, str(tmp_path)) if name in written]
    text = (tmp_path / "out" / "table4.md").read_text()
    assert "| fusion:T2+CET1 | 2d_5          | 1/1  | 0.500 (1) | 0.333 (1) |" in text


def test_a_failed_job_does_not_stop_the_others_and_is_resumed(sweep, ran, tmp_path: Path, capsys):
    words = ("--strategies", "CET1", "T2", "--seconds", "5")
    job = "DatasetPST_CET1__2d_5__fold_0__seed_12345"
    trap = tmp_path / f"fail_{job}_predict"
    trap.touch()
    assert sweep(*words) == 3
    printed = capsys.readouterr()
    assert (
        f"error: {job}: failed in predict exit code 1 (RuntimeError: out of memory" in printed.err
    )
    assert str(tmp_path / "out" / "jobs" / job / "predict.txt") in printed.err
    lines = [[cell.strip() for cell in line.split("|")] for line in printed.out.splitlines()]
    assert ["", "CET1", "2d_5", "0/1", *[""] * 7] in lines
    assert ["", "T2", "2d_5", "1/1", "", "", "0.500 (1)", "0.333 (1)", "", "", ""] in lines
    trap.unlink()
    ran.clear()
    assert main(["sweep", "--out", str(tmp_path / "out"), "--status"]) == 3
    assert "2 jobs: 1 done, 1 failed" in capsys.readouterr().out
    assert ran == []
    assert sweep(*words) == 0
    # Neither planned nor trained again, and the other job is left alone.
    assert [line[0] for line in ran] == ["nnUNetv2_predict", "nnunet_pst"]


def test_an_interrupted_training_goes_on_unless_it_is_for_a_time(sweep, ran, tmp_path: Path):
    job, model = "DatasetPST__2d_5__fold_0__seed_7", "__nnUNetPlans_seed7__2d_5/fold_0"
    for place, words in (("a", ("--epochs", "5")), ("b", ("--seconds", "5"))):
        out = tmp_path / place
        (tmp_path / f"fail_{job}_train").touch()
        words = ("--strategies", "all", "--seeds", "7", "--out", str(out), *words)
        assert sweep(*words) == 3
        (tmp_path / f"fail_{job}_train").unlink()
        trainer = "nnUNetTrainerPST25D" + ("_5epochs" if place == "a" else "Seconds")
        fold = out / "nnUNet_results" / "DatasetPST" / f"{trainer}{model}"
        fold.mkdir(parents=True)
        (fold / "checkpoint_latest.pth").touch()
        ran.clear()
        assert sweep(*words) == 0
        assert ("--c" in ran[0]) == (place == "a")
        assert ran[0][:6] == ["nnUNetv2_train", "DatasetPST", "2d_5", "0", "-tr", trainer]
    plans = json.loads(
        (tmp_path / "preprocessed" / "DatasetPST" / "nnUNetPlans_seed7.json").read_text()
    )
    assert plans["plans_name"] == "nnUNetPlans_seed7"
    assert plans["configurations"]["2d_5"]["pst"]["seed"] == 7


def test_a_table_joins_the_sweep_and_shares_its_models(sweep, ran, tmp_path: Path):
    assert sweep("--strategies", "all", "--seconds", "5") == 0
    trained = [line for line in ran if line[0] == "nnUNetv2_train"]
    assert sweep("--table", "4", "--seconds", "5") == 0
    both = [line for line in ran if line[0] == "nnUNetv2_train"]
    assert [line[1] for line in both[len(trained) :]] == ["DatasetPST_fusion_T2_CET1"]
    assert (tmp_path / "out" / "methods.md").is_file()
    with pytest.raises(SystemExit) as caught:
        sweep("--table", "5")
    assert caught.value.code == 2


def test_other_settings_and_changed_data_are_refused(
    sweep, cohort_files, ran, tmp_path: Path, capsys
):
    assert sweep("--strategies", "T2", "--seconds", "5") == 0
    assert sweep("--strategies", "T2", "--seconds", "6") == 1
    assert "holds a sweep with budget 5 seconds (now 6 seconds)" in capsys.readouterr().err
    cohort_files.add("fred", ("T1", "T2", "CET1"), label_kind="fine")
    cohort_files.table  # noqa: B018 (writes it)
    assert sweep("--strategies", "T2", "--seconds", "5") == 1
    assert "splits_final.json" in capsys.readouterr().err
    (tmp_path / "preprocessed" / "DatasetPST_T2" / "splits_final.json").unlink()


def test_trainings_on_earlier_data_are_not_mixed_with_later_ones(
    sweep, cohort_files, table: Path, tmp_path: Path, capsys
):
    assert sweep("--strategies", "T2", "--seconds", "5") == 0
    label = cohort_files.folder / "anna_T2_label.nii.gz"
    label.write_bytes(label.read_bytes())  # changed since
    for place in ("data", "gt_segmentations"):
        folder = tmp_path / "preprocessed" / "DatasetPST_T2" / place
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    assert sweep("--strategies", "T2", "--seconds", "5") == 1
    assert "DatasetPST_T2: was converted anew" in capsys.readouterr().err


def test_a_fold_without_patients_is_refused(sweep, ran, capsys):
    # Of fold 0 the only validation patient has no T1.
    assert sweep("--strategies", "T1", "--folds", "0", "--seconds", "5") == 1
    assert "DatasetPST_T1: fold 0 has no validation patients" in capsys.readouterr().err
    assert ran == []


def test_a_missing_fold_is_refused_before_training(sweep, ran, capsys):
    assert sweep("--strategies", "all", "--folds", "0", "9", "--seconds", "5") == 1
    assert "has no fold 9; choose --folds from 0 to 3" in capsys.readouterr().err
    assert ran == []


def test_printed_commands_can_be_run_by_hand(sweep, raw: Path, ran, tmp_path: Path, capsys):
    assert sweep("--strategies", "T2", "--seconds", "5", "--run", "print") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "export NNUNET_PST_SECONDS=5" in lines
    out = tmp_path / "out"
    assert f"export nnUNet_results={out / 'nnUNet_results'}" in lines
    assert any(line.startswith("nnUNetv2_train DatasetPST_T2 2d_5 0 -tr") for line in lines)
    assert [line[0] for line in ran] == ["plan"]
    job = out / "jobs" / "DatasetPST_T2__2d_5__fold_0__seed_12345"
    write_scores(raw / "DatasetPST_T2", job / "evaluation")
    assert main(["sweep", "--out", str(out), "--status"]) == 0
    assert "done (run by hand)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "x"], "give COHORT.csv and --dataset"),
        (["c.csv", "--dataset", "DatasetA", "--out", "x"], "say what to train"),
        (["c.csv", "--dataset", "D", "--out", "x", "--slurm", "mem"], "not KEY=VALUE"),
        (["c.csv", "--dataset", "D", "--out", "x", "--table", "2", "--slurm", "mem=1"], "goes"),
        (["c.csv", "--dataset", "D", "--out", "x", "--seconds", "1", "--epochs", "5"], "allowed"),
        (["--out", "x", "--status", "--run", "print"], "not allowed"),
    ],
)  # fmt: skip
def test_wrong_usage(words: list[str], message: str, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["sweep", *words])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_a_folder_without_a_sweep_is_refused(sweep, tmp_path: Path, capsys):
    assert main(["sweep", "--out", str(tmp_path), "--status"]) == 1
    assert "holds no sweep" in capsys.readouterr().err
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").touch()
    assert sweep("--strategies", "T2", "--seconds", "5") == 1
    assert "neither empty nor the folder of a sweep" in capsys.readouterr().err


def test_a_sweep_that_was_interrupted_while_making_datasets_goes_on(
    sweep, ran, tmp_path: Path, capsys
):
    (tmp_path / "out" / "logs").mkdir(parents=True)
    (tmp_path / "out" / "logs" / "plan_DatasetPST.txt").touch()
    assert main(["sweep", "--out", str(tmp_path / "out"), "--status"]) == 1
    assert "the same command without --status goes on" in capsys.readouterr().err
    assert sweep("--strategies", "T2", "--seconds", "5") == 0


def test_a_machine_without_slurm_is_reported(sweep, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setenv("PATH", "/nowhere")
    assert sweep("--strategies", "T2", "--seconds", "5", "--run", "slurm") == 1
    assert "SLURM's sbatch and srun are not on this machine" in capsys.readouterr().err


def test_jobs_on_a_cluster_are_followed_and_submitted_again(
    sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    given: list[list[str]] = []

    def submit(folder: Path, names: list[str], options: dict[str, str]) -> dict[str, str]:
        assert options == {"partition": "gpu", "gpus_per_node": "1"}
        given.append([name.split("__")[0] for name in names])
        return {name: f"{len(given)}_{number}" for number, name in enumerate(names)}

    queue = {"1_0", "1_1", "2_0"}
    monkeypatch.setattr(sweep_running, "submit_jobs", submit)
    monkeypatch.setattr(sweep_progress, "queued", lambda: frozenset(queue))
    words = ("--strategies", "CET1", "T2", "--seconds", "5", "--run", "slurm", "--slurm")
    words = (*words, "partition=gpu", "gpus-per-node=1")
    assert sweep(*words) == 0
    assert "pending (queued as 1_1)" in capsys.readouterr().out
    assert sweep(*words) == 0  # no job is submitted twice
    assert sweep(*words[:5]) == 0  # nor run here meanwhile
    assert "left alone" in capsys.readouterr().out
    queue.remove("1_1")
    assert sweep(*words) == 0
    assert given == [["DatasetPST_CET1", "DatasetPST_T2"], ["DatasetPST_T2"]]
    out = tmp_path / "out"
    sweep_jobs.run_job(out, "DatasetPST_T2__2d_5__fold_0__seed_12345")
    queue.clear()
    capsys.readouterr()
    assert main(["sweep", "--out", str(out), "--status"]) == 3
    printed = capsys.readouterr()
    assert "2 jobs: 1 done, 1 failed" in printed.out
    assert "1_0 left the queue before it began" in printed.err


def test_the_queue_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert queued() is None
    program = tmp_path / "squeue"
    program.write_text("#!/bin/sh\necho 12_0\necho 12_1\necho 15\n")
    program.chmod(0o755)
    assert queued() == {"12_0", "12_1", "15"}
    program.write_text("#!/bin/sh\necho 'no controller' >&2\nexit 1\n")
    assert queued() is None


def test_a_function_that_runs_apart_returns_values_and_errors():
    assert workers.apart(abs, -3) == 3
    with pytest.raises(InputError) as caught:
        workers.apart(read_sweep, Path("nowhere"))
    assert caught.value.fault is Fault.MISSING
    with pytest.raises(HostError) as caught:
        workers.apart(os._exit, 9)
    assert caught.value.fault is Fault.FAILED


def test_labels_carried_from_another_sequence_are_refused(sweep, raw: Path, capsys):
    (raw / "DatasetPST").mkdir(parents=True)
    content = {"nnunet_pst": {"labels_from": "T2"}}
    (raw / "DatasetPST" / "dataset.json").write_text(json.dumps(content))
    assert sweep("--strategies", "T2", "--seconds", "5") == 1
    assert "needs masks drawn on every sequence" in capsys.readouterr().err


def test_a_job_that_the_sweep_does_not_have_is_refused(sweep, tmp_path: Path):
    assert sweep("--strategies", "T2", "--seconds", "5") == 0
    with pytest.raises(InputError) as caught:
        sweep_jobs.run_job(tmp_path / "out", "nothing")
    assert caught.value.fault is Fault.UNKNOWN_NAME


def test_data_converted_again_after_jobs_by_hand_are_refused(
    sweep, cohort_files, raw: Path, ran, tmp_path: Path, capsys
):
    """A job that was run from its printed commands has no status, but its scores count."""
    assert sweep("--strategies", "T2", "--seconds", "5", "--run", "print") == 0
    out = tmp_path / "out"
    job = out / "jobs" / "DatasetPST_T2__2d_5__fold_0__seed_12345"
    write_scores(raw / "DatasetPST_T2", job / "evaluation")
    label = cohort_files.folder / "anna_T2_label.nii.gz"
    label.write_bytes(label.read_bytes())  # changed since
    for folder in (tmp_path / "preprocessed" / "DatasetPST_T2").glob("*/"):
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    assert sweep("--strategies", "T2", "--seconds", "5", "--run", "print") == 1
    assert "DatasetPST_T2: was converted anew" in capsys.readouterr().err


def test_scores_of_data_that_were_converted_again_leave_the_tables(
    sweep, cohort_files, table: Path, tmp_path: Path, capsys
):
    assert sweep("--strategies", "T2", "--seconds", "5") == 0
    assert "0.500" in (tmp_path / "out" / "methods.md").read_text()
    label = cohort_files.folder / "anna_T2_label.nii.gz"
    label.write_bytes(label.read_bytes())
    words = ["--dataset", "DatasetPST_T2", "--sequences", "T2", "--workers", "1"]
    assert main(["convert", str(table), *words]) == 0
    assert main(["sweep", "--out", str(tmp_path / "out"), "--status"]) == 0
    text = (tmp_path / "out" / "methods.md").read_text()
    assert "0.500" not in text
    assert "DatasetPST_T2 was converted from other files or rows since" in text


def test_what_convert_flags_is_printed_kept_and_ends_with_3(
    sweep, ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    genuine = sweep_datasets.convert_cohort

    def flagging(table, name, settings, **rest):
        summary = genuine(table, name, settings, **rest)
        flagged = {"PST_0001 CET1": "the images share 0 %"} if "fusion" in name else {}
        return replace(summary, flagged=flagged)

    monkeypatch.setattr(sweep_datasets, "convert_cohort", flagging)
    assert sweep("--table", "4", "--seconds", "5", "--run", "print") == 3
    assert "# look at it: DatasetPST_fusion_T2_CET1: PST_0001 CET1:" in capsys.readouterr().out
    assert sweep("--table", "4", "--seconds", "5") == 3
    said = capsys.readouterr().out
    assert "look at it: DatasetPST_fusion_T2_CET1: PST_0001 CET1: the images share 0 %" in said
    assert "PST_0001 CET1" in (tmp_path / "out" / "table4.md").read_text()
    assert main(["sweep", "--out", str(tmp_path / "out"), "--status"]) == 3


def test_printed_commands_say_which_weights(sweep, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.delenv("NNUNET_PST_ENCODER_WEIGHTS", raising=False)
    assert sweep("--strategies", "T2", "--seconds", "5", "--run", "print") == 0
    assert "unset NNUNET_PST_ENCODER_WEIGHTS" in capsys.readouterr().out
    monkeypatch.setenv("NNUNET_PST_ENCODER_WEIGHTS", "none")
    assert sweep("--strategies", "T2", "--seconds", "5", "--run", "print") == 1
    monkeypatch.delenv("NNUNET_PST_ENCODER_WEIGHTS")
    monkeypatch.setenv("NNUNET_PST_ENCODER_WEIGHTS", "weights/of ours.safetensors")
    out = tmp_path / "other"
    words = ("sweep", str(tmp_path / "cohort" / "cohort.csv"), "--dataset", "DatasetPST")
    more = ("--out", str(out), "-device", "cpu", "--strategies", "T2", "--run", "print")
    monkeypatch.chdir(tmp_path)
    assert main([*words, *more]) == 0
    exported = f"export NNUNET_PST_ENCODER_WEIGHTS='{tmp_path}/weights/of ours.safetensors'"
    assert exported in capsys.readouterr().out


def test_a_job_with_other_weights_than_the_sweep_is_refused(sweep, tmp_path: Path, monkeypatch):
    monkeypatch.delenv("NNUNET_PST_ENCODER_WEIGHTS", raising=False)
    assert sweep("--strategies", "T2", "--seconds", "5", "--run", "print") == 0
    monkeypatch.setenv("NNUNET_PST_ENCODER_WEIGHTS", "none")
    with pytest.raises(HostError) as caught:
        sweep_jobs.run_job(tmp_path / "out", "DatasetPST_T2__2d_5__fold_0__seed_12345")
    assert caught.value.fault is Fault.CONTRADICTION


def test_datasets_of_a_sweep_share_their_settings(sweep, ran, tmp_path: Path, capsys):
    assert sweep("--strategies", "T2", "T1+T2", "--folds", "1", "--seconds", "5") == 0
    plans = tmp_path / "preprocessed" / "DatasetPST_T2" / "nnUNetPlans.json"
    content = json.loads(plans.read_text())
    content["configurations"]["2d_5"]["pst"]["channel_dropout"] = 0.3
    plans.write_text(json.dumps(content))
    assert sweep("--strategies", "T2", "T1+T2", "--folds", "1", "--seconds", "5") == 1
    assert "channel_dropout" in capsys.readouterr().err
