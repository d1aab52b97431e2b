"""What is installed, set and missing: the content of a bug report, free of paths and people."""

from __future__ import annotations

import importlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from nnunet_pst.errors import Fault, HostError, Problem
from nnunet_pst.nnunet.environment import (
    ALLOCATOR_VARIABLES,
    DATA_FOLDERS,
    HOST_WINDOW,
    TRAINER_VARIABLE,
    cpu_multiplies_bfloat16,
    host_version_supported,
    trainer_folder,
    usable_cores,
)

#: The trainer that must be found for ``nnUNetv2_train ... -tr`` to work.
TRAINER = "nnUNetTrainerPST25D"
PACKAGES = (
    "nnunet_pst",
    "nnunetv2",
    "torch",
    "torchvision",
    "segmentation-models-pytorch",
    "SimpleITK",
    "numpy",
)
SET_UP = 'eval "$(nnunet_pst env FOLDER)"'

# Run by a fresh interpreter, because the host's search changes sys.modules and because only a
# fresh one sees what nnUNetv2_train will see. Without '' in sys.path: console scripts lack it too.
_FIND_TRAINER = """
import contextlib, io, json, sys
sys.path[:] = [folder for folder in sys.path if folder]
try:
    with contextlib.redirect_stdout(io.StringIO()):
        from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
        found = recursive_find_trainer_class_by_name(sys.argv[1])
    answer = {"module": found.__module__}
except BaseException as error:
    answer = {"error": type(error).__name__, "message": str(error)}
print(json.dumps(answer))
"""


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Parameters
    ----------
    name
        What was looked at.
    value
        What was found; without local paths, so that it may be shown to anyone.
    to_do
        What to do about it; empty if nothing necessary is missing.
    detail
        A local path or message that is shown only on request.
    fault
        What kind of problem ``to_do`` tells of.
    """

    name: str
    value: str
    to_do: str = ""
    detail: str = ""
    fault: Fault = Fault.OTHER


def collect_info() -> list[Finding]:
    """Look at everything that this plug-in and its host need; changes and downloads nothing.

    Returns
    -------
    list of Finding
        In the order to be read; an entry with a ``to_do`` is something necessary that is missing.
    """
    system = f"{platform.system()} {platform.machine()}, {' '.join(platform.libc_ver())}".strip(
        " ,"
    )
    findings = [Finding("system", system), Finding("python", platform.python_version())]
    findings += [find_package(name) for name in PACKAGES]
    findings += [find_device(), find_trainer(), find_encoder_weights()]
    findings += [find_folder(name) for name in DATA_FOLDERS]
    findings.append(find_allocator())
    return findings


def find_package(name: str) -> Finding:
    """Version of an installed package; nnunetv2 must be in the tested window."""
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        to_do = f"{name} is not installed; run `pip install {name}`"
        return Finding(name, "missing", to_do, fault=Fault.NOT_INSTALLED)
    if name != "nnunetv2":
        return Finding(name, version)
    if host_version_supported(version):
        return Finding(name, f"{version} (tested: {HOST_WINDOW})")
    return Finding(
        name,
        f"{version} (outside the tested {HOST_WINDOW})",
        f"nnunetv2 {version} is untested; run `pip install 'nnunetv2{HOST_WINDOW}'`",
        fault=Fault.UNSUPPORTED,
    )


def find_device() -> Finding:
    """Name the device that training would use, and whether a CPU has bf16 arithmetic."""
    try:
        import torch
    except ImportError as error:
        return Finding(
            "device",
            "unknown: torch cannot be imported",
            "torch cannot be imported; reinstall it (`info --paths` shows the error)",
            str(error),
            Fault.NOT_INSTALLED,
        )
    cpu = f"CPU with {usable_cores()} usable cores, bf16 {bf16_on_cpu()}"
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        memory_gib = properties.total_memory / 2**30
        count = torch.cuda.device_count()
        return Finding("device", f"{count} x CUDA {properties.name}, {memory_gib:.0f} GiB; {cpu}")
    return Finding("device", f"{cpu}; no CUDA: use -device cpu")


def bf16_on_cpu() -> str:
    """Say whether the CPU multiplies bf16 natively; if so, trainings on it use that."""
    return {True: "native", False: "emulated", None: "unknown"}[cpu_multiplies_bfloat16()]


def find_trainer() -> Finding:
    """Let the host look for our trainer in a fresh process, as its own commands do."""
    name = TRAINER_VARIABLE
    listed = os.environ.get(name, "")
    if not listed:
        return _not_set(name)
    answer = ask_host_for_trainer(TRAINER)
    if "error" not in answer:
        return Finding(name, f"set; nnU-Net finds {TRAINER}", "", listed)
    if lists_our_folder(listed):
        value = f"set to our folder, but {TRAINER} cannot be imported there ({answer['error']})"
        to_do = f"{TRAINER} cannot be imported; `nnunet_pst info --paths` shows why"
        fault = Fault.FAILED
    else:
        value = "set, but not to our folder"
        to_do = f"{name} does not list our trainers; run {SET_UP}"
        fault = Fault.NOT_SET
    detail = f"{listed}: {' '.join(answer['message'].split())}"
    return Finding(name, value, to_do, detail, fault)


def lists_our_folder(listed: str) -> bool:
    """Whether ``nnUNet_extTrainer`` lists the folder of the installed trainers."""
    try:
        ours = trainer_folder()
    except HostError:
        return False
    return ours in [Path(part).absolute() for part in listed.split(os.pathsep)]


def ask_host_for_trainer(trainer: str, *, timeout_s: float = 300) -> dict[str, str]:
    """Run the host's own search in a fresh process.

    Returns
    -------
    dict
        ``module`` if it was found, else ``error`` (type) and ``message``.
    """
    command = [sys.executable, "-c", _FIND_TRAINER, trainer]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
        answer = json.loads(done.stdout.strip().splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"error": "timeout", "message": f"no answer within {timeout_s:.0f} s"}
    except (IndexError, json.JSONDecodeError):
        return {"error": f"exit code {done.returncode}", "message": done.stderr.strip()}
    return {str(key): str(value) for key, value in answer.items()}


def find_encoder_weights() -> Finding:
    """Look for the ImageNet weights where training will look, without asking the network."""
    name = "ImageNet weights"
    try:
        from nnunet_pst.network import ENCODER_WEIGHTS_VARIABLE as VARIABLE
    except ImportError as error:
        return Finding(name, "unknown: the network cannot be imported", "", str(error))
    choice = os.environ.get(VARIABLE, "")
    if choice.lower() == "none":
        return Finding(name, f"none, as {VARIABLE} says: training starts from random weights")
    if choice and Path(choice).is_file():
        return Finding(name, f"file that {VARIABLE} names", "", choice)
    if choice:
        to_do = f"{VARIABLE} names no file; set it to a file, to 'none', or unset it"
        value = f"{VARIABLE} is set, but names no file"
        return Finding(name, value, to_do, choice, Fault.MISSING)
    cached = cached_encoder_weights()
    if cached is None:
        # Not a problem by itself: where there is a network, the first training fetches them.
        return Finding(name, f"not on this disk: fetched by the first training, or set {VARIABLE}")
    return Finding(name, "in the cache of the hub", "", cached)


def cached_encoder_weights(encoder: str = "mobilenet_v2") -> str | None:
    """Path of smp's ImageNet checkpoint in the local cache of huggingface_hub, or None."""
    with warnings.catch_warnings():
        # timm, which smp brings along, uses deprecated parts of torch: a user cannot mend that, and
        # it does not belong in a bug report.
        warnings.simplefilter("ignore", FutureWarning)
        smp_encoders = importlib.import_module("segmentation_models_pytorch.encoders").encoders
    hub = importlib.import_module("huggingface_hub")
    source = smp_encoders[encoder]["pretrained_settings"]["imagenet"]
    path = hub.try_to_load_from_cache(
        source["repo_id"], "model.safetensors", revision=source["revision"]
    )
    return path if isinstance(path, str) else None


def find_folder(name: str) -> Finding:
    """Whether one of the host's folders is set, there and writable, and the space left on it."""
    value = os.environ.get(name)
    if not value:
        return _not_set(name)
    folder = Path(value)
    if not folder.is_dir():
        to_do = f"{name} is set, but there is no such folder; run {SET_UP}, which makes it"
        return Finding(name, "set, missing", to_do, value, Fault.MISSING)
    free = f"{shutil.disk_usage(folder).free / 2**30:.1f} GiB free"
    try:
        # Writing is the only proof: permission bits say nothing on a read-only mount or as root.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:
        to_do = f"{name} cannot be written to; choose another folder with {SET_UP}"
        return Finding(name, f"set, not writable, {free}", to_do, value, Fault.UNWRITABLE)
    return Finding(name, f"set, writable, {free}", "", value)


def _not_set(name: str) -> Finding:
    return Finding(name, "not set", f"{name} is not set; run {SET_UP}", fault=Fault.NOT_SET)


def find_allocator() -> Finding:
    """Whether glibc's three variables are all set: speed on a CPU, nothing necessary."""
    already = [name for name in ALLOCATOR_VARIABLES if os.environ.get(name)]
    if len(already) == len(ALLOCATOR_VARIABLES):
        return Finding("allocator", "all three variables set")
    if already:
        return Finding("allocator", f"only {', '.join(already)} set: may be slower than none")
    return Finding("allocator", f"default: on a Linux CPU, {SET_UP} makes it faster")


def problems(findings: list[Finding]) -> Iterator[Problem]:
    """Give one line for each necessary thing that is missing."""
    return (Problem(finding.to_do, finding.fault) for finding in findings if finding.to_do)
