"""``convert`` after it was killed, and ``convert`` over an older state."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nnunet_pst.cli.main import main
from nnunet_pst.dataset import case_tasks
from nnunet_pst.dataset.annotation import LabelRules
from nnunet_pst.dataset.conversion import convert_cohort
from nnunet_pst.dataset.conversion_settings import ConversionSettings
from nnunet_pst.errors import Fault, HostError, InputError, PartlyDoneError, Problem

#: Converts, and is killed at one point of one case.
KILLED = """
import os, signal, sys
from pathlib import Path
from nnunet_pst.io import volumes
from nnunet_pst.dataset import raw_dataset
from nnunet_pst.dataset.conversion import convert_cohort

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
    """The files of a conversion that was not disturbed."""
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
        "import sys; from pathlib import Path; from nnunet_pst.dataset import conversion\n"
        "conversion.CASES_A_PROCESS = 1\n"
        "if __name__ == '__main__': "
        "conversion.convert_cohort(Path(sys.argv[1]), 'DatasetPST', workers=2)"
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
    ("settings", "change"),
    [
        (ConversionSettings(rules=LabelRules(coarse_slices=3)), "coarse_slices 5 (now 3)"),
        (
            ConversionSettings(rules=LabelRules(unknown="background")),
            "unknown ignore (now background)",
        ),
        (ConversionSettings(sequences=("T2",)), "sequences all (now ['T2'])"),
    ],
    ids=["slices", "unknown", "sequences"],
)
def test_changed_settings_are_refused(
    small_cohort, raw: Path, settings: ConversionSettings, change: str
):
    table = small_cohort.table
    convert_cohort(table, "DatasetPST")
    before = files(raw)
    with pytest.raises(InputError) as caught:
        convert_cohort(table, "DatasetPST", settings)
    (line,) = caught.value.problems
    assert line.fault is Fault.EXISTS
    assert change in line
    assert files(raw) == before
    assert convert_cohort(table, "DatasetPST", settings, overwrite=True).kept == 0
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
    small_cohort.add("dora", ("T2",))
    summary = convert_cohort(small_cohort.table, "DatasetPST")
    assert summary.written == 3  # two of cora, who has moved to training, and dora's
    assert summary.renewed == ["PST_0003_T1", "PST_0003_T2"]
    assert summary.removed == []
    names = sorted(path.name for path in (raw / "DatasetPST" / "labelsTr").iterdir())
    assert names == [
        f"PST_{case}.nii.gz"
        for case in (
            *(f"000{patient}_T{number}" for patient in (1, 2, 3) for number in (1, 2)),
            "0004_T2",
        )
    ]
    assert list((raw / "DatasetPST" / "imagesTs").iterdir()) == []


def refused(table: Path, raw: Path) -> Problem:
    """The only line of a conversion that must leave everything unchanged."""
    before = files(raw)
    with pytest.raises(InputError) as caught:
        convert_cohort(table, "DatasetPST")
    assert files(raw) == before
    (line,) = caught.value.problems
    return line


def test_whole_cases_are_removed_on_request_only(small_cohort, raw: Path, capsys):
    convert_cohort(small_cohort.table, "DatasetPST")
    del small_cohort.rows[1]  # bert
    small_cohort.rows[1] |= {"T1": "", "T1_label": ""}  # cora's
    line = refused(small_cohort.table, raw)
    assert line.fault is Fault.EXISTS
    assert "3 of the 6 cases of DatasetPST are not in cohort.csv any more" in line
    assert "(PST_0002_T1, PST_0002_T2, PST_0003_T1)" in line
    assert "--overwrite" in line
    words = ["convert", str(small_cohort.table), "--dataset", "DatasetPST", "--workers", "1"]
    assert main([*words, "--overwrite"]) == 0
    printed = capsys.readouterr().out
    assert "converted anew: 3 cases (PST_0001_T1, PST_0001_T2, PST_0003_T2)" in printed
    assert "removed: 3 cases (PST_0002_T1, PST_0002_T2, PST_0003_T1)" in printed
    assert not list((raw / "DatasetPST").rglob("PST_0002*"))


def test_another_cohort_is_refused(small_cohort, raw: Path, tmp_path: Path):
    convert_cohort(small_cohort.table, "DatasetPST")
    (tmp_path / "other").mkdir()
    other = type(small_cohort)(tmp_path / "other")
    other.add("eva", ("T1", "T2"))
    line = refused(other.table, raw)
    assert "6 of the 6 cases of DatasetPST" in line
    assert "PST_0003_T1 and 1 more" in line
    # The same names, as in cohorts that count their patients.
    other.rows.clear()
    for patient in ("anna", "bert", "cora", "dora"):
        other.add(patient, ("T1", "T2"))
    assert "all 6 cases of DatasetPST would be replaced" in refused(other.table, raw)
    summary = convert_cohort(other.table, "DatasetPST", overwrite=True)
    assert (summary.written, len(summary.renewed), summary.removed) == (8, 6, [])


def test_some_files_may_be_added_and_replaced(small_cohort, raw: Path):
    late = {column: small_cohort.rows[2][column] for column in ("T1_label", "T2_label")}
    small_cohort.rows[2] |= dict.fromkeys(late, "")
    convert_cohort(small_cohort.table, "DatasetPST")
    small_cohort.rows[2] |= late
    ramp = np.arange(16 * 18 * 20, dtype=np.int16).reshape(16, 18, 20)
    small_cohort.rows[0]["T1"] = small_cohort.image("better.nii.gz", ramp)
    summary = convert_cohort(small_cohort.table, "DatasetPST")
    assert summary.renewed == ["PST_0001_T1", "PST_0003_T1", "PST_0003_T2"]


def test_all_files_may_change_where_they_are(small_cohort, raw: Path):
    convert_cohort(small_cohort.table, "DatasetPST")
    for image in small_cohort.folder.glob("*.nii.gz"):
        os.utime(image, ns=(1, 1))
    assert convert_cohort(small_cohort.table, "DatasetPST").written == 6


def test_a_dataset_deleted_by_hand_is_converted_again(small_cohort, raw: Path):
    convert_cohort(small_cohort.table, "DatasetPST")
    shutil.rmtree(raw / "DatasetPST")
    del small_cohort.rows[1]
    assert convert_cohort(small_cohort.table, "DatasetPST").written == 4


def test_a_table_with_problems_is_not_another_cohort(small_cohort, raw: Path):
    convert_cohort(small_cohort.table, "DatasetPST")
    small_cohort.rows[1]["split"] = "tset"
    assert refused(small_cohort.table, raw).fault is Fault.UNKNOWN_NAME


def test_pseudonyms_stay(small_cohort, raw: Path):
    convert_cohort(small_cohort.table, "DatasetPST")
    key = (raw / "DatasetPST_patients.csv").read_bytes()
    small_cohort.rows.reverse()
    convert_cohort(small_cohort.table, "DatasetPST", overwrite=True)
    assert (raw / "DatasetPST_patients.csv").read_bytes() == key


def test_a_file_that_is_not_a_key_stays(small_cohort, raw: Path):
    raw.mkdir()
    key = raw / "DatasetPST_patients.csv"
    key.write_text("patient,pseudonym\nanna,somebody\n")
    with pytest.raises(InputError) as caught:
        convert_cohort(small_cohort.table, "DatasetPST", overwrite=True)
    assert caught.value.fault is Fault.DAMAGED
    assert key.read_text().endswith("somebody\n")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_another_tool_stays(small_cohort, raw: Path, overwrite: bool):
    other = raw / "DatasetPST" / "imagesTr" / "case_0000.nii.gz"
    other.parent.mkdir(parents=True)
    other.touch()
    with pytest.raises(InputError) as caught:
        convert_cohort(small_cohort.table, "DatasetPST", overwrite=overwrite)
    assert caught.value.fault is Fault.EXISTS
    assert files(raw) == {"DatasetPST/imagesTr/case_0000.nii.gz": b""}


def test_a_cut_off_journal_costs_one_case(
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
    with pytest.raises(PartlyDoneError) as caught:
        convert_cohort(table, "DatasetPST")
    assert caught.value.exit_code == 3
    failure, summary = caught.value.problems
    assert failure == "PST_0002_T1: No space left on device"
    assert failure.fault is Fault.UNWRITABLE
    assert "5 cases are written" in summary
    assert not (raw / "DatasetPST" / "dataset.json").exists()
    monkeypatch.setattr(case_tasks, "write_case", write)
    assert convert_cohort(table, "DatasetPST").written == 1


def test_a_disk_without_room_for_one_case_is_left_as_it_was(
    small_cohort, raw: Path, monkeypatch: pytest.MonkeyPatch
):
    """No empty folders, and no key to pseudonyms that nothing has."""
    write = case_tasks.write_case
    room_for: list[str] = []

    def full_disk(dataset, case, built):
        if case.name not in room_for:
            raise OSError("No space left on device")
        write(dataset, case, built)

    monkeypatch.setattr(case_tasks, "write_case", full_disk)
    with pytest.raises(HostError) as caught:
        convert_cohort(small_cohort.table, "DatasetPST")
    assert caught.value.problems[-1].startswith("no cases are written")
    assert not raw.exists() or list(raw.iterdir()) == []
    earlier = (raw / "DatasetPST", raw / "DatasetPST_patients.csv")
    earlier[0].mkdir(parents=True)
    earlier[1].write_text("pseudonym,patient\nPST_0007,z\n")
    with pytest.raises(HostError):
        convert_cohort(small_cohort.table, "DatasetPST")
    assert all(path.exists() for path in earlier)
    earlier[1].unlink()
    room_for += ["PST_0001_T1"]
    with pytest.raises(PartlyDoneError) as caught:
        convert_cohort(small_cohort.table, "DatasetPST")
    assert caught.value.problems[-1].startswith("1 case is written")
    assert sorted(path.name for path in earlier[0].iterdir()) == ["imagesTr", "labelsTr"]


@pytest.mark.parametrize("spoil", [lambda data: data[: len(data) // 2], lambda data: data + b"x"])
def test_a_file_that_is_no_longer_whole_is_written_again(small_cohort, raw: Path, spoil, capsys):
    """A disk that filled up, or a copy that broke off: what is there must be what was written."""
    words = ["convert", str(small_cohort.table), "--dataset", "DatasetPST", "--workers", "1"]
    assert main(words) == 0
    label = raw / "DatasetPST" / "labelsTr" / "PST_0001_T2.nii.gz"
    whole = label.read_bytes()
    label.write_bytes(spoil(whole))
    capsys.readouterr()
    assert main(words) == 0
    assert "converted anew: 1 case (PST_0001_T2)" in capsys.readouterr().out
    assert label.read_bytes() == whole


def test_verify_finds_what_size_and_ends_hide(
    small_cohort, raw: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    from nnunet_pst.io import digests

    monkeypatch.setattr(digests, "_ENDS_BYTES", 16)
    words = ["convert", str(small_cohort.table), "--dataset", "DatasetPST", "--workers", "1"]
    assert main(words) == 0
    undisturbed = files(raw)
    image = raw / "DatasetPST" / "labelsTr" / "PST_0001_T2.nii.gz"
    spoiled = bytearray(image.read_bytes())
    spoiled[len(spoiled) // 2] ^= 255
    image.write_bytes(bytes(spoiled))
    assert main(words) == 0
    assert image.read_bytes() == bytes(spoiled)
    capsys.readouterr()
    assert main([*words, "--verify"]) == 0
    assert "converted anew: 1 case (PST_0001_T2)" in capsys.readouterr().out
    assert files(raw) == undisturbed
