"""A picture of synthetic patients, beside real slices if there are some, windowed alike.

    python benchmarks/phantom_sheet.py docs/phantom.png --real ../shared/data

Real slices come from DICOM folders of the shared test data (see its README for the licenses).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import SimpleITK as sitk  # noqa: N813

from nnunet_pst.phantom.acquisition import SEQUENCES
from nnunet_pst.phantom.cohort import render_patient
from nnunet_pst.phantom.patients import draw_patient

PATIENTS = 12
#: Part of a series' folder name, and its label.
REAL = {
    "prostatex-0218/26.000000-fl3dvibe": "prostate T1 (VIBE)",
    "prostatex-0218/5.000000-t2tsetra": "prostate T2",
    "prostatex-0218/13.000000-ep2dadvdiff": "prostate DWI b 800",
    "prostatex-0218/96.000000-Twist": "prostate CET1 (TWIST)",
    "sts-001-raw/MR_T1/image": "thigh T1",
    "sts-001-raw/MR_T2/image": "thigh T2, fat-suppressed",
}


def main() -> None:
    """Draw the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--size", choices=["small", "paper"], default="paper")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--real", type=Path, help="folder of the shared test data")
    arguments = parser.parse_args()
    real = real_slices(arguments.real) if arguments.real else []
    rows, columns = -(-(PATIENTS + bool(real)) // 3), 3 * len(SEQUENCES)
    figure, axes = plt.subplots(rows, columns, figsize=(columns * 1.25, rows * 1.4))
    for axis in axes.flat:
        axis.axis("off")
    places = axes.reshape(rows * 3, len(SEQUENCES))
    for number in range(PATIENTS):
        patient = render_patient(
            draw_patient(arguments.seed, number), arguments.seed, arguments.size
        )
        facts = patient.facts
        largest = int((patient.labels["T2"].array > 0).sum(axis=(1, 2)).argmax())
        for axis, sequence in zip(places[number], SEQUENCES, strict=True):
            show(axis, patient.images[sequence].array[largest])
            label = patient.labels[sequence].array[largest]
            if label.any():
                axis.contour(label, levels=[0.5], colors="#e69f00", linewidths=0.5)
            axis.set_title(f"{sequence} {facts.location} {facts.size_cm:g} cm", fontsize=4, pad=1)
    for axis, (title, pixels) in zip(places[PATIENTS:].flat, real, strict=False):
        show(axis, pixels)
        axis.set_title(title, fontsize=4, pad=1, color="#0072b2")
    figure.subplots_adjust(0.003, 0.003, 0.997, 0.985, 0.02, 0.08)
    figure.savefig(arguments.output, dpi=100, facecolor="white")


def show(axis: plt.Axes, pixels: np.ndarray) -> None:
    """Window a slice from 0 to its 99.5th percentile."""
    axis.imshow(pixels, cmap="gray", vmin=0, vmax=np.percentile(pixels, 99.5), aspect="equal")


def real_slices(folder: Path) -> list[tuple[str, np.ndarray]]:
    """Middle slices of the real series in `REAL`."""
    found = []
    for series in sorted(path for path in folder.rglob("*") if path.is_dir()):
        title = next((t for key, t in REAL.items() if key in str(series.relative_to(folder))), None)
        names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(series)) if title else ()
        if len(names) > 1:
            volume = sitk.GetArrayFromImage(sitk.ReadImage(names[len(names) // 2]))
            found.append((f"REAL {title}", volume.reshape(volume.shape[-2:])))
    return found


if __name__ == "__main__":
    main()
