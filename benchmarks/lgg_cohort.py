"""A table of real tumors on three sequences: the Kaggle set "LGG segmentation" as a cohort.

    python benchmarks/lgg_cohort.py kaggle_3m lgg

``kaggle_3m`` holds a folder a patient with 8-bit TIFFs of three channels: T1 before contrast,
FLAIR, T1 after it (CET1), registered, every slice drawn (Buda, Saha, Mazurowski 2019, doi
10.1016/j.compbiomed.2019.05.002; images of TCGA-LGG, The Cancer Imaging Archive, doi
10.7937/K9/TCIA.2016.L4LTD3TK). A missing sequence repeats FLAIR there; it is found by its equality
and left out. The files give no spacing: 1 x 1 x 5 mm is assumed, so volumes and distances of this
cohort are those of that assumption. Images and masks are averaged over 2 x 2 pixels, which makes
trainings on a CPU four times as short; ``--pixels 1`` keeps them as they are. 40 of the 110
patients are test patients, evenly over tumor volumes.

Low-grade gliomas are not pelvic or sacral tumors. The masks are licensed for non-commercial use
(CC BY-NC-SA 4.0): neither they nor what is made of them belongs into this repository.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813
from tqdm import tqdm

#: Channels of the TIFFs, in order.
SEQUENCES = ("T1", "FLAIR", "CET1")
FILLER = SEQUENCES.index("FLAIR")
#: (x, y, z) in mm; assumed, the files do not say.
SPACING = (1.0, 1.0, 5.0)
#: Four of every eleven patients, sorted by volume, are test patients: 40 of 110.
TEST, OF = 4, 11

Volume = npt.NDArray[np.uint8]


def read_patient(folder: Path) -> tuple[dict[str, Volume], Volume]:
    """Return the sequences that are there, and the mask; all (z, y, x).

    Raises
    ------
    SystemExit
        Slices are missing, or a slice is not a 8-bit image of three channels.
    """
    numbers = sorted(
        int(found[1])
        for path in folder.glob("*.tif")
        if (found := re.search(r"_(\d+)\.tif$", path.name))
    )
    if numbers != list(range(1, len(numbers) + 1)):
        sys.exit(f"{folder}: slices {numbers}; expected 1 to {len(numbers)}, none missing")
    stem = folder / folder.name
    slices = np.stack([_read(Path(f"{stem}_{number}.tif")) for number in numbers])
    mask = np.stack([_read(Path(f"{stem}_{number}_mask.tif")) for number in numbers])
    if slices.ndim != 4 or slices.shape[-1] != len(SEQUENCES) or slices.dtype != np.uint8:
        sys.exit(f"{folder}: images of shape {slices.shape}, {slices.dtype}; expected RGB, 8 bits")
    channels = {name: slices[..., place] for place, name in enumerate(SEQUENCES)}
    there = {
        name: volume
        for place, (name, volume) in enumerate(channels.items())
        if place == FILLER or not np.array_equal(volume, slices[..., FILLER])
    }
    return there, (mask > 0).astype(np.uint8)


def _read(path: Path) -> Volume:
    array: Volume = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    return array


def averaged(volume: Volume, pixels: int) -> npt.NDArray[np.float32]:
    """Average (z, y, x) over squares of pixels within slices; the last incomplete ones go."""
    z, y, x = volume.shape
    rows, columns = y // pixels, x // pixels
    squares = volume[:, : rows * pixels, : columns * pixels].reshape(
        z, rows, pixels, columns, pixels
    )
    means: npt.NDArray[np.float32] = squares.mean(axis=(2, 4), dtype=np.float32)
    return means


def write_volume(volume: Volume, path: Path, pixels: int, *, mask: bool = False) -> None:
    """Write (z, y, x) as NIfTI with the assumed spacing, averaged; a mask by majority."""
    means = averaged(volume, pixels)
    array = means >= 0.5 if mask else np.rint(means)
    image = sitk.GetImageFromArray(array.astype(np.uint8))
    x, y, z = SPACING
    image.SetSpacing((x * pixels, y * pixels, z))
    sitk.WriteImage(image, str(path))


def splits(volumes: dict[str, int]) -> dict[str, str]:
    """Choose test patients evenly over the tumors' volumes; no chance is involved."""
    ordered = sorted(volumes, key=lambda name: (volumes[name], name))
    return {
        name: "test" if (place + 1) * TEST // OF > place * TEST // OF else "train"
        for place, name in enumerate(ordered)
    }


def main() -> None:
    """Write NIfTI files and ``cohort.csv``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tiffs", type=Path, help="folder kaggle_3m")
    parser.add_argument("out", type=Path)
    parser.add_argument("--pixels", type=int, default=2, help="averaged along x and y (default: 2)")
    arguments = parser.parse_args()
    folders = sorted(path for path in arguments.tiffs.iterdir() if path.is_dir())
    if not folders:
        sys.exit(f"{arguments.tiffs}: no folder of a patient in it")
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, str]] = []
    volumes: dict[str, int] = {}
    for folder in tqdm(folders, desc="LGG", unit="patient", disable=None):
        sequences, mask = read_patient(folder)
        name = "_".join(folder.name.split("_")[:3])
        volumes[name] = int(mask.sum())
        label = f"{name}_label.nii.gz"
        write_volume(mask, arguments.out / label, arguments.pixels, mask=True)
        row = {"patient": name}
        for sequence, volume in sequences.items():
            row[sequence] = f"{name}_{sequence}.nii.gz"
            row[f"{sequence}_label"] = label
            write_volume(volume, arguments.out / row[sequence], arguments.pixels)
        rows.append(row)
    chosen = splits(volumes)
    columns = ["patient", *(f"{s}{part}" for s in SEQUENCES for part in ("", "_label")), "split"]
    with (arguments.out / "cohort.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows({**row, "split": chosen[row["patient"]]} for row in rows)
    counts = ", ".join(f"{sum(s in row for row in rows)} {s}" for s in SEQUENCES)
    test = sum(split == "test" for split in chosen.values())
    print(
        f"{len(rows)} patients ({counts}), {test} of them test patients, in {arguments.out}; "
        "the spacing is an assumption"
    )


if __name__ == "__main__":
    main()
