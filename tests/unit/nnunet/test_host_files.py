"""What the host needs and has written: its planner's threads, damaged files, files cut off."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import blosc2
import numpy as np
import pytest

from nnunet_pst.errors import Fault, HostError, InputError
from nnunet_pst.nnunet.environment import LOADING_VARIABLE, planner_threads
from nnunet_pst.nnunet.host_files import check_preprocessed_whole, host_files_readable


def test_the_planner_has_a_thread_where_a_training_has_no_workers(monkeypatch):
    monkeypatch.setenv(LOADING_VARIABLE, "0")
    with planner_threads():
        assert os.environ[LOADING_VARIABLE] == "1"
    assert os.environ[LOADING_VARIABLE] == "0"
    monkeypatch.setenv(LOADING_VARIABLE, "many")
    with pytest.raises(HostError), planner_threads():
        pass


def test_damaged_files_of_the_host_are_a_line():
    with pytest.raises(InputError) as caught, host_files_readable("DatasetPST", "convert again"):
        {}["file_ending"]
    (line,) = caught.value.problems
    assert line.fault is Fault.DAMAGED
    assert line.startswith("DatasetPST: ")
    assert line.endswith("convert again")


@pytest.mark.parametrize("name", ["a.pkl", "a.b2nd"])
def test_preprocessed_cases_that_are_cut_off_are_named(tmp_path: Path, name: str):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"spacing": list(range(99))}))
    array = np.random.default_rng(0).normal(size=(1, 8, 32, 32)).astype(np.float32)
    blosc2.asarray(array, urlpath=str(tmp_path / "a.b2nd"))
    check_preprocessed_whole(tmp_path)
    os.truncate(tmp_path / name, (tmp_path / name).stat().st_size // 2)
    with pytest.raises(OSError, match=name):
        check_preprocessed_whole(tmp_path)
