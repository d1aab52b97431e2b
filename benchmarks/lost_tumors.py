"""Test tumors that a variant of the method study misses: what they have in common, and pictures.

    python benchmarks/lost_tumors.py lgg --patients test --variant center --out study

Reads the masks that `benchmarks/method_study.py` left in ``--out``. For every test case: Dice (mean
over seeds), volume, slices, contrast against a ring around the tumor (in standard deviations of the
ring) and the share of the tumor that the intensity window cuts off; the median of each over lost
(below 0.1) and found cases. Draws the largest slice of each lost case, reference in orange, masks
of the seeds in blue.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pandas as pd
from method_study import RESULTS
from method_tables import FOUND
from scipy import ndimage

from nnunet_pst.io.volumes import Volume, read_image, read_mask

#: Width of the ring around a tumor, in pixels of a slice.
RING = 8
COLUMNS = 6


def describe(image: Volume, truth: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Size and contrast of a tumor."""
    disk = ndimage.iterate_structure(ndimage.generate_binary_structure(2, 1), RING)
    ring = np.stack([ndimage.binary_dilation(one, disk) for one in truth]) & ~truth
    array = image.array.astype(np.float32)
    around, inside = array[ring], array[truth]
    highest = np.percentile(array[array > 0], 99.5)
    return {
        "volume_ml": float(truth.sum()) * image.grid.voxel_volume_ml,
        "slices": float(truth.any(axis=(1, 2)).sum()),
        "contrast": float((inside.mean() - around.mean()) / max(1e-6, around.std())),
        "cut_off": float((inside > highest).mean()),
    }


def draw(lost: pd.DataFrame, raw: Path, masks: list[Path], path: Path) -> None:
    """Draw the largest slice of each case."""
    rows = -(-len(lost) // COLUMNS)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(2.2 * COLUMNS, 2.4 * rows), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, (case, row) in zip(axes.flat, lost.iterrows(), strict=False):
        image = read_image(raw / "imagesTs" / f"{case}_0000.nii.gz").array
        truth = read_mask(raw / "labelsTs" / f"{case}.nii.gz").array == 1
        number = int(truth.sum(axis=(1, 2)).argmax())
        axis.imshow(image[number], cmap="gray", vmax=np.percentile(image[image > 0], 99.5))
        axis.contour(truth[number], [0.5], colors="orange", linewidths=1)
        for folder in masks:
            found = read_mask(folder / f"{case}.nii.gz").array[number] == 1
            if found.any():
                axis.contour(found, [0.5], colors="deepskyblue", linewidths=0.8)
        axis.set_title(f"{case}\nDice {row['dice']:.2f}, {row['volume_ml']:.0f} ml", fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Print the table and draw the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bed")
    parser.add_argument("--patients", choices=("training", "test"), required=True)
    parser.add_argument("--variant", default="center")
    parser.add_argument("--out", type=Path, required=True, help="of the study")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    name = f"{arguments.bed}-{arguments.patients}"
    files = sorted((arguments.results / name).glob(f"{arguments.variant}-*-seed[0-9].csv"))
    scores = pd.concat([pd.read_csv(file) for file in files])
    cases = scores.groupby("case").agg(dice=("dice", "mean"), sequence=("sequence", "first"))
    home = arguments.out / name
    (raw,) = (home / "nnunet_data" / "nnUNet_raw").glob(f"*{arguments.bed}Drawn[0-9]")
    rows = {
        case: describe(
            read_image(raw / "imagesTs" / f"{case}_0000.nii.gz"),
            read_mask(raw / "labelsTs" / f"{case}.nii.gz").array == 1,
        )
        for case in cases.index
    }
    cases = cases.join(pd.DataFrame.from_dict(rows, orient="index"))
    cases["lost"] = cases["dice"] < FOUND
    counted = cases.groupby(["sequence", "lost"]).size().unstack(fill_value=0)
    print(counted.to_string())
    numbers = ["dice", "volume_ml", "slices", "contrast", "cut_off"]
    print(cases.groupby(["sequence", "lost"])[numbers].median().round(3).to_string())
    lost = cases[cases["lost"]].sort_values("volume_ml")
    if len(lost):
        masks = [home / "predictions" / file.stem for file in files]
        draw(lost, raw, masks, home / f"lost-{arguments.variant}.png")
        print(home / f"lost-{arguments.variant}.png")


if __name__ == "__main__":
    main()
