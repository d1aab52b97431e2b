"""``convert`` that was killed, and ``convert`` that finds an older state."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nnunet_pst.annotation import LabelRules
from nnunet_pst.errors import InputError, PartlyDoneError
from nnunet_pst.nnunet import case_tasks
from nnunet_pst.nnunet.conversion import convert_cohort

#: Converts, and is stopped for good at one point of one case.
KILLED = """
import os, signal, sys
from pathlib import Path
from nnunet_pst import volumes
from nnunet_pst.nnunet import raw_dataset
from nnunet_pst.nnunet.conversion import convert_cohort

victim, moment = sys.argv[2:]
write = raw_dataset.write_volume

def write_and_die(path, volume):
    if path.name.endswith(victim):
        if moment == "half":
            path.write_bytes(b"half")
        else:
            write(path, volume)
        os.kill(os.getpid(), signal.SIGKILL)
    write(path, volume)

raw_dataset.write_volume = write_and_die
convert_cohort(Path(sys.argv[1]), "DatasetPST")
"""


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


@pytest.fixture
def whole(small_cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The files of a conversion that nothing disturbed."""
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "undisturbed"))
    convert_cohort(small_cohort.table, "DatasetPST")
    return files(tmp_path / "undisturbed" / "DatasetPST")


@pytest.mark.parametrize("victim", ["PST_0002_T1_0000.nii.gz", "PST_0002_T1.nii.gz"])
@pytest.mark.parametrize("moment", ["half", "before its name"])
def test_killed_while_writing(
    whole: dict[str, bytes], small_cohort, raw: Path, monkeypatch, victim: str, moment: str
):
    words = [sys.executable, "-c", KILLED, str(small_cohort.table), victim, moment]
    environment = {**os.environ, "nnUNet_raw": str(raw)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = files(raw / "DatasetPST")
    assert "dataset.json" not in left
    for name, content in left.items():
        assert "partial" in name or content == whole[name]
    monkeypatch.setenv("nnUNet_raw", str(raw))
    summary = convert_cohort(small_cohort.table, "DatasetPST")
    assert files(raw / "DatasetPST") == whole
    assert (summary.kept, summary.written) == (2, 4)
    assert summary.removed_files == 1


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for as long as a starved machine may need."""
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def alive(process: str) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(
    not Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").exists(),
    reason="looks processes up in /proc",
)
def test_workers_end_with_their_parent(cohort_files, raw: Path):
    for number in range(12):
        cohort_files.add(f"p{number}")
    code = (
        "import sys; from pathlib import Path; from nnunet_pst.nnunet.conversion import "
        "convert_cohort\nif __name__ == '__main__': "
        "convert_cohort(Path(sys.argv[1]), 'DatasetPST', workers=2)"
    )
    script = cohort_files.folder / "script.py"
    script.write_text(code)
    process = subprocess.Popen([sys.executable, str(script), str(cohort_files.table)])
    journal = raw / "DatasetPST_conversion.jsonl"
    wait_until(lambda: journal.exists() and len(journal.read_text().splitlines()) > 2)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.kill()
    process.wait()
    wait_until(lambda: not any(map(alive, children)))
    summary = convert_cohort(cohort_files.table, "DatasetPST")
    assert summary.kept >= 1
    assert summary.kept + summary.written == 12


def test_a_second_run_finds_nothing_to_do(small_cohort, raw: Path):
    table = small_cohort.table
    convert_cohort(table, "DatasetPST")
    image = raw / "DatasetPST" / "imagesTr" / "PST_0001_T1_0000.nii.gz"
    before = files(raw), image.stat().st_mtime_ns
    summary = convert_cohort(table, "DatasetPST")
    assert (summary.kept, summary.written) == (6, 0)
    assert (files(raw), image.stat().st_mtime_ns) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rules": LabelRules(coarse_slices=3)}, r"coarse_slices 5 \(now 3\)"),
        ({"rules": LabelRules(unknown="background")}, r"unknown ignore \(now background\)"),
        ({"sequences": ["T2"]}, r"sequences all"),
    ],
)
def test_changed_options_are_refused(small_cohort, raw: Path, options: dict, said: str):
    table = small_cohort.table
    convert_cohort(table, "DatasetPST")
    before = files(raw)
    with pytest.raises(InputError, match=said):
        convert_cohort(table, "DatasetPST", **options)
    assert files(raw) == before
    assert convert_cohort(table, "DatasetPST", overwrite=True, **options).kept == 0
    assert files(raw) != before


def test_a_changed_image_is_converted_again(small_cohort, raw: Path):
    table = small_cohort.table
    convert_cohort(table, "DatasetPST")
    label = small_cohort.folder / "anna_T2_label.nii.gz"
    os.utime(label, ns=(1, 1))
    summary = convert_cohort(table, "DatasetPST")
    assert (summary.kept, summary.written) == (5, 1)


def test_a_changed_table(small_cohort, raw: Path):
    convert_cohort(small_cohort.table, "DatasetPST")
    small_cohort.rows.reverse()  # cora, bert, anna
    small_cohort.rows[0]["split"] = "train"
    small_cohort.rows[1] |= {"T1": "", "T1_label": ""}
    small_cohort.add("dora", ("T2",))
    summary = convert_cohort(small_cohort.table, "DatasetPST")
    assert summary.written == 3  # two of cora, who has moved to training, and dora's
    names = sorted(path.name for path in (raw / "DatasetPST" / "labelsTr").iterdir())
    assert names == [
        f"PST_{case}.nii.gz"
        for case in ("0001_T1", "0001_T2", "0002_T2", "0003_T1", "0003_T2", "0004_T2")
    ]
    assert list((raw / "DatasetPST" / "imagesTs").iterdir()) == []


def test_pseudonyms_stay(small_cohort, raw: Path):
    convert_cohort(small_cohort.table, "DatasetPST")
    key = (raw / "DatasetPST_patients.csv").read_bytes()
    small_cohort.rows.reverse()
    convert_cohort(small_cohort.table, "DatasetPST", overwrite=True)
    assert (raw / "DatasetPST_patients.csv").read_bytes() == key


def test_a_file_that_is_no_key_is_left_alone(small_cohort, raw: Path):
    raw.mkdir()
    key = raw / "DatasetPST_patients.csv"
    key.write_text("patient,pseudonym\nanna,somebody\n")
    with pytest.raises(InputError, match=r"is not a key"):
        convert_cohort(small_cohort.table, "DatasetPST", overwrite=True)
    assert key.read_text().endswith("somebody\n")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_somebody_else_is_left_alone(small_cohort, raw: Path, overwrite: bool):
    other = raw / "DatasetPST" / "imagesTr" / "case_0000.nii.gz"
    other.parent.mkdir(parents=True)
    other.touch()
    with pytest.raises(InputError, match=r"not made by"):
        convert_cohort(small_cohort.table, "DatasetPST", overwrite=overwrite)
    assert files(raw) == {"DatasetPST/imagesTr/case_0000.nii.gz": b""}


def test_a_torn_journal_costs_one_case(
    small_cohort, raw: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("nnUNet_raw", str(raw))
    convert_cohort(small_cohort.table, "DatasetPST")
    journal = raw / "DatasetPST_conversion.jsonl"
    journal.write_bytes(journal.read_bytes()[:-40])
    summary = convert_cohort(small_cohort.table, "DatasetPST")
    assert (summary.kept, summary.written) == (5, 1)
    assert files(raw / "DatasetPST") == whole
    assert len([json.loads(line) for line in journal.read_text().splitlines()]) == 7


def test_a_case_that_cannot_be_written_costs_only_itself(
    small_cohort, raw: Path, monkeypatch: pytest.MonkeyPatch
):
    write = case_tasks.write_case

    def full_disk(dataset, case, built):
        if case.name == "PST_0002_T1":
            raise OSError("No space left on device")
        write(dataset, case, built)

    table = small_cohort.table
    monkeypatch.setattr(case_tasks, "write_case", full_disk)
    with pytest.raises(PartlyDoneError, match=r"PST_0002_T1: No space left") as caught:
        convert_cohort(table, "DatasetPST")
    assert caught.value.exit_code == 3
    assert "5 cases are written" in caught.value.problems[-1]
    assert not (raw / "DatasetPST" / "dataset.json").exists()
    monkeypatch.setattr(case_tasks, "write_case", write)
    assert convert_cohort(table, "DatasetPST").written == 1
