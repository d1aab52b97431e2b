"""A sweep on a real SLURM: submit, kill a task, see it, resume, gather.

The test starts controller, node and authentication of its own on this machine, from the
distribution's packages (slurm-wlm, munge), with all of their files in a temporary folder.
"""

from __future__ import annotations

import csv
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "sinfo")
#: One core: the second job has to wait for the first.
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
KillWait=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=1 State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def free_ports(count: int) -> list[int]:
    with_ports = [socket.socket() for _ in range(count)]
    for one in with_ports:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in with_ports]
    for one in with_ports:
        one.close()
    return ports


def wait_for(what: str, ready: Callable[[], bool], seconds: float, logs: Path | None = None):
    """Wait until a condition holds; else fail with the ends of SLURM's logs."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            texts = [p.read_text()[-1500:] for p in sorted(logs.glob("*.log"))] if logs else []
            pytest.fail(f"{what}: not within {seconds} s\n" + "\n".join(texts))
        time.sleep(0.5)


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A SLURM of one node with one core; its folder."""
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:/usr/sbin:/sbin")
    absent = [name for name in PROGRAMS if not shutil.which(name)]
    if absent:
        pytest.skip(f"no SLURM on this machine ({absent[0]}: install slurm-wlm and munge)")
    if os.geteuid() != 0:
        pytest.skip("SLURM's daemons need root")
    folder = tmp_path / "slurm"
    for name in ("state", "spool", "munge"):
        (folder / name).mkdir(parents=True)
    (folder / "munge").chmod(0o700)
    key = folder / "munge" / "key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    configuration = folder / "slurm.conf"
    text = CONFIGURATION.format(host=socket.gethostname(), ports=free_ports(2), folder=folder)
    configuration.write_text(text)
    monkeypatch.setenv("SLURM_CONF", str(configuration))
    munge = [f"--{name}={folder}/munge/{name}" for name in ("socket", "pid-file", "seed-file")]
    daemons = [
        ["munged", "--foreground", "--force", f"--key-file={key}", *munge],
        ["slurmctld", "-D", "-f", str(configuration)],
        ["slurmd", "-D", "-f", str(configuration), "-N", socket.gethostname()],
    ]
    running = []
    try:
        for words in daemons:
            with (folder / f"{words[0]}.out.log").open("wb") as output:
                running.append(subprocess.Popen(words, stdout=output, stderr=output))
            if words[0] == "munged":
                socket_file = folder / "munge" / "socket"
                wait_for("munge", socket_file.exists, 20, folder)
        wait_for("the node", lambda: "idle" in call("sinfo", "--noheader"), 40, folder)
        yield folder
    finally:
        if len(running) > 1:
            call("scancel", "--user=root")
            time.sleep(1)
        for daemon in reversed(running):
            daemon.terminate()
            daemon.wait(timeout=20)


def call(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


def test_a_killed_task_is_seen_and_resumed(slurm: Path, empty_workplace, table, tmp_path: Path):
    out = tmp_path / "sweep"
    words = (
        *("nnunet_pst", "sweep", table, "--dataset", "DatasetSweep", "--out", out),
        *("--strategies", "all", "--seeds", "1", "2", "--seconds", "1", "-device", "cpu"),
        *("--disable_tta", "--run", "slurm", "--slurm", "partition=test", "time=10"),
    )

    def status() -> str:
        return empty_workplace.run("nnunet_pst", "sweep", "--out", out, "--status").stdout

    printed = empty_workplace.check(*words)
    assert "submitted: 2" in printed
    first, second = (f"DatasetSweep__2d_5__fold_0__seed_{seed}" for seed in (1, 2))
    training = out / "jobs" / first / "train.txt"
    wait_for("the first training", training.exists, 120, slurm)
    seen = status()
    assert f"{first}  running in train" in seen
    assert f"{second}  pending (queued as " in seen

    array = call("squeue", "--me", "--noheader", "--array", "--format=%F").split()[0]
    call("scancel", f"{array}_0")
    scores = out / "jobs" / second / "evaluation" / "cases.csv"
    wait_for("the second job", scores.exists, 300, slurm)
    wait_for("an empty queue", lambda: not call("squeue", "--me", "--noheader"), 30, slurm)
    done = empty_workplace.run("nnunet_pst", "sweep", "--out", out, "--status")
    assert done.returncode == 3
    assert f"{first}  failed in train" in done.stdout
    assert f"{second}  done" in done.stdout
    assert first in done.stderr
    assert "| 1/2  |" in (out / "methods.md").read_text()

    model = out / "nnUNet_results" / "DatasetSweep"
    other = model / "nnUNetTrainerPST25DSeconds__nnUNetPlans_seed2__2d_5" / "fold_0"
    trained = (other / "checkpoint_final.pth").stat().st_mtime_ns
    assert "submitted: 1" in empty_workplace.check(*words)
    resumed = out / "jobs" / first / "evaluation" / "cases.csv"
    wait_for("the resumed job", resumed.exists, 300, slurm)
    wait_for("an empty queue", lambda: not call("squeue", "--me", "--noheader"), 30, slurm)
    done = empty_workplace.run("nnunet_pst", "sweep", "--out", out, "--status")
    assert done.returncode == 0, done.stderr
    assert "2 jobs: 2 done" in done.stdout
    assert (other / "checkpoint_final.pth").stat().st_mtime_ns == trained
    with (out / "cases.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["seed"], row["case"]) for row in rows] == [
        (seed, case) for seed in "12" for case in ("PST_0007_T2", "PST_0008_T2")
    ]
