"""A synthetic cohort of the paper's geometry, planned and preprocessed by `nnunet_pst plan`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813

from nnunet_pst.labels import LABEL_VALUES
from nnunet_pst.nnunet.environment import DATA_FOLDERS

DATASET = "DatasetBENCH"
#: Uncompressed, so that making the cohort takes no time.
FILE_ENDING = ".mha"


@dataclass(frozen=True)
class Geometry:
    """Size of the cohort and of its cases.

    Attributes
    ----------
    spacing
        Millimeters along (slice, row, column).
    known_slices
        Slices with a known label on either side of the lesion's middle; others are unknown.
    """

    cases: int = 6
    slices: int = 26
    rows: int = 320
    columns: int = 320
    spacing: tuple[float, float, float] = (6.0, 1.0, 1.0)
    known_slices: int = 5

    def as_dict(self) -> dict[str, object]:
        """Return the description for the results."""
        return asdict(self)


#: For a smoke test: everything runs, but the numbers mean nothing.
TINY = Geometry(cases=2, slices=8, rows=64, columns=64, known_slices=2)


def make_cohort(folder: Path, geometry: Geometry) -> None:
    """Write the raw dataset into ``folder``, then plan and preprocess it as a user would.

    The host's folders are set for this process and those that it starts.
    """
    for name in DATA_FOLDERS:
        os.environ[name] = str(folder / name)
        (folder / name).mkdir()
    _write_raw(folder / "nnUNet_raw" / DATASET, geometry)
    command = [sys.executable, "-m", "nnunet_pst.cli.main", "plan", DATASET, "--workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"planning the synthetic cohort failed:\n{done.stderr}")


def _write_raw(folder: Path, geometry: Geometry) -> None:
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    for number in range(geometry.cases):
        image, label = _case(geometry, np.random.default_rng(number))
        name = f"BENCH_{number:04d}"
        _write(image, folder / "imagesTr" / f"{name}_0000{FILE_ENDING}", geometry)
        _write(label, folder / "labelsTr" / f"{name}{FILE_ENDING}", geometry)
    description = {
        "channel_names": {"0": "MRI"},
        "labels": LABEL_VALUES,
        "numTraining": geometry.cases,
        "file_ending": FILE_ENDING,
    }
    (folder / "dataset.json").write_text(json.dumps(description))


def _case(geometry: Geometry, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Noise in the air (no zeros, so nothing is cropped), a body, a lesion in its middle."""
    size = (geometry.slices, geometry.rows, geometry.columns)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in size), indexing="ij", sparse=True)
    image = rng.rayleigh(12, size) + 1
    image += 300 * ((y / 0.7) ** 2 + (x / 0.9) ** 2 < 1) * (1 + 0.3 * np.sin(9 * x) * np.cos(7 * y))
    lesion = (z / 0.35) ** 2 + ((y - 0.1) / 0.25) ** 2 + ((x + 0.1) / 0.2) ** 2 < 1
    image[lesion] *= 1.5
    label = np.where(lesion, LABEL_VALUES["tumor"], LABEL_VALUES["background"]).astype(np.uint8)
    far = np.abs(np.arange(geometry.slices) - geometry.slices // 2) > geometry.known_slices
    label[far] = LABEL_VALUES["ignore"]
    return image.astype(np.int16), label


def _write(array: np.ndarray, file: Path, geometry: Geometry) -> None:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(geometry.spacing[::-1])
    sitk.WriteImage(image, str(file))
