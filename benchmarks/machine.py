"""The machine of a measurement, without host name, user or paths."""

from __future__ import annotations

import contextlib
import os
import platform
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from nnunet_pst.nnunet.environment import ALLOCATOR_VARIABLES, usable_cores

PACKAGES = (
    "nnunet_pst",
    "nnunetv2",
    "torch",
    "openvino",
    "segmentation-models-pytorch",
    "numpy",
    "blosc2",
)


def describe(device: str) -> dict[str, Any]:
    """Describe processor, memory, versions and other factors of speed."""
    import torch

    return {
        "cpu": processor(),
        "cores": usable_cores(),
        "ram_gb": _ram_gb(),
        "gpu": torch.cuda.get_device_name() if device != "cpu" else None,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "torch_threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": dict(_versions()),
        "allocator_variables": allocator_variables_set(),
    }


def _versions() -> Iterator[tuple[str, str]]:
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):  # extras are optional
            yield name, metadata.version(name)


def allocator_variables_set() -> bool:
    """Whether glibc's variables are as `nnunet_pst env` sets them."""
    return all(os.environ.get(name) == value for name, value in ALLOCATOR_VARIABLES.items())


def file_name(machine: dict[str, Any]) -> str:
    """Return the machine's part of a file name: that of the GPU, else of the CPU with its cores."""
    name = machine["gpu"] or f"{machine['cpu']} {machine['cores']} cores"
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def processor() -> str:
    """Name the processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    except OSError:  # not Linux
        pass
    return platform.processor() or platform.machine()


def _ram_gb() -> int | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    except (AttributeError, ValueError):
        return None
