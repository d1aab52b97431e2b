"""The shell lines of `env`, the findings of `info`, and the host's version window."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from nnunet_pst.errors import Fault, HostError, InputError
from nnunet_pst.nnunet import environment, installation
from nnunet_pst.nnunet.environment import (
    ALLOCATOR_VARIABLES,
    DATA_FOLDERS,
    HOST_WINDOW,
    host_version_supported,
    make_folders,
    shell_environment,
    trainer_folder,
)


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch):
    for name in list(os.environ):
        if name.startswith(("nnUNet_", "NNUNET_PST_")) or name in ALLOCATOR_VARIABLES:
            monkeypatch.delenv(name)


def run_env(root: Path, *, shell_before: str = "") -> dict[str, str]:
    """The variables after `eval "$(nnunet_pst env ROOT)"` in a POSIX shell."""
    program = 'eval "$("$0" -m nnunet_pst.cli.main env "$1")"; exec "$0" -c "$2"'
    report = "import json, os; print(json.dumps(dict(os.environ)))"
    done = subprocess.run(
        ["sh", "-c", shell_before + program, sys.executable, str(root), report],
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("name", ["data", "two words", 'a\'b "c" $HOME `id`; #', "ünïcode"])
def test_eval_sets_everything_and_makes_the_folders(tmp_path: Path, name: str):
    root = tmp_path / name
    found = run_env(root)
    for variable in DATA_FOLDERS:
        assert found[variable] == str(root / variable)
        assert (root / variable).is_dir()
    assert Path(found["nnUNet_extTrainer"]) == trainer_folder()
    assert 1 <= int(found["nnUNet_def_n_proc"]) <= 8


def test_a_relative_root_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert shell_environment("data", {})["nnUNet_raw"] == str(tmp_path / "data" / "nnUNet_raw")


def test_naming_the_variables_creates_no_folders(tmp_path: Path):
    shell_environment(tmp_path / "data", {})
    assert list(tmp_path.iterdir()) == []


def test_other_trainer_folders_are_kept_behind_ours(tmp_path: Path):
    once = shell_environment(tmp_path, {"nnUNet_extTrainer": "/other"})["nnUNet_extTrainer"]
    assert once == os.pathsep.join([str(trainer_folder()), "/other"])
    twice = shell_environment(tmp_path, {"nnUNet_extTrainer": once})["nnUNet_extTrainer"]
    assert twice == once


def test_the_trainer_folder_holds_nothing_but_trainers():
    modules = {path.stem for path in trainer_folder().glob("*.py")} - {"__init__"}
    assert modules
    assert all(module.startswith("nnUNetTrainer") for module in modules)


def test_the_number_of_processes_is_the_users_if_set(tmp_path: Path):
    found = shell_environment(tmp_path, {"nnUNet_def_n_proc": "3"})
    assert found["nnUNet_def_n_proc"] == "3"


@pytest.mark.parametrize(("cores", "expected"), [(1, "1"), (6, "6"), (64, "8")])
def test_the_number_of_processes_fits_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, expected: str
):
    monkeypatch.setattr(environment, "usable_cores", lambda: cores)
    assert shell_environment(tmp_path, {})["nnUNet_def_n_proc"] == expected


@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_an_impossible_number_of_processes_is_refused(tmp_path: Path, value: str):
    with pytest.raises(HostError) as caught:
        shell_environment(tmp_path, {"nnUNet_def_n_proc": value})
    assert caught.value.fault is Fault.MALFORMED


@pytest.mark.parametrize(
    ("libc", "environ", "expected"),
    [
        ("glibc", {}, ALLOCATOR_VARIABLES),
        ("glibc", ALLOCATOR_VARIABLES, ALLOCATOR_VARIABLES),
        ("glibc", {"MALLOC_TOP_PAD_": "1"}, {}),
        ("", {}, {}),
    ],
)
def test_allocator_variables_come_together_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, libc: str, environ: dict, expected: dict
):
    monkeypatch.setattr("platform.libc_ver", lambda: (libc, ""))
    found = shell_environment(tmp_path, environ)
    assert {name: found[name] for name in ALLOCATOR_VARIABLES if name in found} == expected


def test_a_file_is_not_a_root(tmp_path: Path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(InputError) as caught:
        shell_environment(file)
    assert caught.value.fault is Fault.WRONG_TYPE


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "nnUNet_preprocessed").touch()
    with pytest.raises(InputError) as caught:
        make_folders(shell_environment(tmp_path))
    assert caught.value.fault is Fault.UNWRITABLE
    assert "nnUNet_preprocessed" in str(caught.value)


def test_missing_trainers_are_explained(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(HostError) as caught:
        trainer_folder()
    assert caught.value.fault is Fault.NOT_INSTALLED


@pytest.mark.parametrize(
    ("version", "supported"),
    [
        ("2.8", True),
        ("2.8.1", True),
        ("2.10.0", True),
        ("2.9rc1", False),
        ("2.7.9", False),
        ("3.0", False),
        ("4", False),
    ],
)
def test_the_window_of_host_versions(version: str, supported: bool):
    assert host_version_supported(version) is supported


def test_the_window_is_the_one_of_pyproject():
    text = (Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'"nnunetv2{HOST_WINDOW}"' in text


def test_info_finds_folders_in_every_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert installation.find_folder("nnUNet_raw").value == "not set"
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "absent"))
    assert installation.find_folder("nnUNet_raw").value == "set, missing"
    monkeypatch.setenv("nnUNet_raw", str(tmp_path))
    fine = installation.find_folder("nnUNet_raw")
    assert fine.value.startswith("set, writable, ")
    assert not fine.to_do


def test_info_finds_a_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object, **__: object):
        raise OSError("read-only")

    monkeypatch.setenv("nnUNet_raw", str(tmp_path))
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    finding = installation.find_folder("nnUNet_raw")
    assert finding.value.startswith("set, not writable")
    assert "choose another folder" in finding.to_do


def test_info_says_what_to_do_about_another_host(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.5.2")
    assert "outside the tested" in installation.find_package("nnunetv2").value
    assert f"nnunetv2{HOST_WINDOW}" in installation.find_package("nnunetv2").to_do


def test_info_notices_a_missing_package():
    assert installation.find_package("no-such-package-here").value == "missing"


def test_info_without_a_trainer_folder_does_not_ask_the_host(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(installation, "ask_host_for_trainer", None)
    assert "nnUNet_extTrainer is not set" in installation.find_trainer().to_do


@pytest.mark.parametrize(
    ("ours", "to_do"), [(True, "cannot be imported"), (False, "does not list our trainers")]
)
def test_info_tells_a_broken_trainer_from_a_wrong_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ours: bool, to_do: str
):
    answer = {"error": "ImportError", "message": f"in {tmp_path}"}
    monkeypatch.setattr(installation, "ask_host_for_trainer", lambda trainer: answer)
    monkeypatch.setenv("nnUNet_extTrainer", str(trainer_folder() if ours else tmp_path))
    finding = installation.find_trainer()
    assert to_do in finding.to_do
    assert str(tmp_path) not in finding.value + finding.to_do
    assert str(tmp_path) in finding.detail


def test_the_hosts_answer_survives_a_crash(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(installation, "_FIND_TRAINER", "raise SystemExit('no memory')")
    answer = installation.ask_host_for_trainer("nnUNetTrainerPST25D")
    assert answer == {"error": "exit code 1", "message": "no memory"}


def test_weights_from_a_file_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    variable = "NNUNET_PST_ENCODER_WEIGHTS"
    monkeypatch.setenv(variable, "none")
    assert "random weights" in installation.find_encoder_weights().value
    monkeypatch.setenv(variable, str(tmp_path / "absent"))
    assert variable in installation.find_encoder_weights().to_do
    (tmp_path / "present").touch()
    monkeypatch.setenv(variable, str(tmp_path / "present"))
    assert not installation.find_encoder_weights().to_do


def test_weights_in_the_hubs_cache(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        "huggingface_hub.try_to_load_from_cache", lambda *_, **__: "/cache/model.safetensors"
    )
    assert installation.find_encoder_weights().value == "in the cache of the hub"
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: None)
    absent = installation.find_encoder_weights()
    assert absent.value.startswith("not on this disk")
    assert not absent.to_do


def test_a_subset_of_the_allocator_variables_is_noticed(monkeypatch: pytest.MonkeyPatch):
    assert installation.find_allocator().value.startswith("default")
    monkeypatch.setenv("MALLOC_TOP_PAD_", "268435456")
    assert "only MALLOC_TOP_PAD_" in installation.find_allocator().value


def test_the_trainer_folder_is_found_without_importing_it():
    code = (
        "import sys; from nnunet_pst.nnunet.environment import trainer_folder; trainer_folder();"
        "sys.exit('nnunet_pst.trainers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
