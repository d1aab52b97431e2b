"""The host's environment variables, its version, and the folder where it finds our trainers.

Standard library only: people put ``eval "$(nnunet_pst env ROOT)"`` into their shell profiles.
"""

from __future__ import annotations

import importlib.util
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from nnunet_pst.errors import Fault, HostError, InputError

#: The host's three data folders; each is a subfolder of ROOT with the variable's own name.
DATA_FOLDERS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
TRAINER_VARIABLE = "nnUNet_extTrainer"
PROCESSES_VARIABLE = "nnUNet_def_n_proc"
#: Processes, in our trainings threads, that make batches.
LOADING_VARIABLE = "nnUNet_n_proc_DA"
#: Seconds that ``nnUNetTrainerSeconds`` trains.
SECONDS_VARIABLE = "NNUNET_PST_SECONDS"

#: First supported and first unsupported version of nnunetv2 (major, minor), as in pyproject.toml.
HOST_VERSIONS = ((2, 8), (3, 0))
HOST_WINDOW = ">={}.{},<{}".format(*HOST_VERSIONS[0], HOST_VERSIONS[1][0])

#: glibc gives freed memory back to the system at once, and every activation of the network pays
#: the page faults again: up to 2x on a CPU. Only all three together help; one or two of them can
#: be slower than none, because setting any of them stops glibc from adapting the others.
ALLOCATOR_VARIABLES = {
    "MALLOC_TRIM_THRESHOLD_": "4294967295",
    "MALLOC_TOP_PAD_": "268435456",
    "MALLOC_MMAP_THRESHOLD_": "4294967295",
}


def shell_environment(
    root: str | os.PathLike[str], environ: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Name the variables that set up nnU-Net and this plug-in; nothing is created or changed.

    Parameters
    ----------
    root
        Folder that holds, or will hold, ``nnUNet_raw``, ``nnUNet_preprocessed`` and
        ``nnUNet_results``.
    environ
        The variables as they are now; default ``os.environ``.

    Returns
    -------
    dict
        Variable to value, in the order to be set: the three folders (absolute), the trainer
        folder before what ``nnUNet_extTrainer`` already lists, the number of processes (an
        existing value is kept), and on glibc the three allocator variables, unless one of them
        already has a value of the user's own.

    Raises
    ------
    InputError
        ``root`` is a file.
    HostError
        The trainers are not installed, or ``nnUNet_def_n_proc`` is not a positive number.
    """
    environ = os.environ if environ is None else environ
    base = Path(root).expanduser().absolute()
    if base.exists() and not base.is_dir():
        raise InputError(f"{root}: is a file; give a folder for nnU-Net's data", Fault.WRONG_TYPE)
    variables = {name: str(base / name) for name in DATA_FOLDERS}
    variables[TRAINER_VARIABLE] = trainer_path(environ.get(TRAINER_VARIABLE, ""))
    variables[PROCESSES_VARIABLE] = str(process_count(environ))
    variables.update(allocator_variables(environ))
    return variables


def make_folders(variables: Mapping[str, str]) -> None:
    """Create the data folders that `shell_environment` named."""
    try:
        for name in DATA_FOLDERS:
            Path(variables[name]).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{error.filename}: cannot be created ({error.strerror}); choose another folder",
            Fault.UNWRITABLE,
        ) from error


def trainer_folder() -> Path:
    """Find the folder of ``nnunet_pst.trainers`` without importing it (it imports torch)."""
    spec = importlib.util.find_spec("nnunet_pst.trainers")
    if spec is None or not spec.submodule_search_locations:
        raise HostError(
            "nnunet_pst.trainers is not installed; run `pip install -e .` in the checkout (without "
            "editable_mode=compat) or install the wheel, and don't start Python in the checkout",
            Fault.NOT_INSTALLED,
        )
    return Path(next(iter(spec.submodule_search_locations))).absolute()


def trainer_path(existing: str) -> str:
    """Put our trainer folder before the folders that ``nnUNet_extTrainer`` already lists.

    First, because the host imports every module on its way to a match, and a broken one in
    another folder would end the search.
    """
    ours = str(trainer_folder())
    others = [folder for folder in existing.split(os.pathsep) if folder.strip()]
    return os.pathsep.join([ours, *(folder for folder in others if Path(folder) != Path(ours))])


def process_count(environ: Mapping[str, str]) -> int:
    """Choose ``nnUNet_def_n_proc``: what is set, else one process per usable core, at most 8.

    The host's default is 8 on every machine. Each process imports torch, which takes seconds and
    hundreds of MB; on two cores that costs more than the work.
    """
    value = environ.get(PROCESSES_VARIABLE, "").strip()
    if not value:
        return max(1, min(8, usable_cores()))
    if not value.isdecimal() or int(value) < 1:
        raise HostError(
            f"{PROCESSES_VARIABLE}={value}: must be a positive number; unset it", Fault.MALFORMED
        )
    return int(value)


@contextmanager
def planner_threads() -> Iterator[None]:
    """Let the host's planner have a thread where ``nnUNet_n_proc_DA`` says 0.

    That number, of processes that augment, is good for a training; the planner takes it for its
    threads, and ends without one.

    Raises
    ------
    HostError
        It is not a number.
    """
    value = os.environ.get(LOADING_VARIABLE)
    if value is not None and not value.strip().isdecimal():
        raise HostError(f"{LOADING_VARIABLE}={value}: must be a number; unset it", Fault.MALFORMED)
    if value is None or int(value) > 0:
        yield
        return
    os.environ[LOADING_VARIABLE] = "1"
    try:
        yield
    finally:
        os.environ[LOADING_VARIABLE] = value


def cpu_multiplies_bfloat16() -> bool | None:
    """Whether the CPU multiplies bfloat16 (None: unknown); emulated it is slower than float32.

    AVX512-BF16 and AMX on x86, BF16 on Arm.
    """
    import torch

    # Public only in newer releases of torch than the oldest that is supported.
    capabilities = getattr(torch.cpu, "get_capabilities", None)
    if capabilities is None:
        return None
    instructions = capabilities()
    return any(instructions.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def usable_cores() -> int:
    """Count the cores that this process may use, which a job scheduler can make fewer than all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def allocator_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Give all three allocator variables, or none: not glibc, or the user has chosen otherwise."""
    chosen = any(environ.get(name, value) != value for name, value in ALLOCATOR_VARIABLES.items())
    if chosen or platform.libc_ver()[0] != "glibc":
        return {}
    return dict(ALLOCATOR_VARIABLES)


def host_version() -> str | None:
    """Version of the installed nnunetv2, or None; doesn't import it."""
    try:
        return metadata.version("nnunetv2")
    except metadata.PackageNotFoundError:
        return None


def host_version_supported(version: str) -> bool:
    """Whether a version such as ``2.8.1`` is in the tested window."""
    numbers = [int(part) for part in version.split(".")[:2] if part.isdecimal()]
    return len(numbers) == 2 and HOST_VERSIONS[0] <= (numbers[0], numbers[1]) < HOST_VERSIONS[1]
