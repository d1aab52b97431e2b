"""How much of the phantom's tumors gray values alone give away.

    python benchmarks/phantom_difficulty.py --patients 24 --cluttered

Two segmenters that know nothing of shape or place, learned on two thirds of the patients and scored
on the others (mean Dice over patients): one threshold for each sequence, and the nearest neighbors
of a voxel among the gray values of all four sequences, registered. And what no method of one
threshold can exceed: the best threshold of each image, chosen with its label at hand. Images are
scaled as the network scales them.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813
import torch
from scipy.spatial import cKDTree

from nnunet_pst.io.volumes import Volume
from nnunet_pst.network.intensity import to_unit_range
from nnunet_pst.phantom.acquisition import SEQUENCES, Size
from nnunet_pst.phantom.cohort import render_patient
from nnunet_pst.phantom.patients import draw_patient

THRESHOLDS = np.linspace(0.02, 1.2, 60)
#: Voxels of each patient and class that are remembered, and neighbors that vote.
REMEMBERED, NEIGHBORS = 1500, 25


@dataclass(frozen=True)
class Patient:
    """Gray values and labels of one patient.

    Attributes
    ----------
    images, labels
        By sequence, each on its own grid.
    registered
        (sequences, z, y, x) on the grid of T2.
    """

    images: dict[str, npt.NDArray[np.float32]]
    labels: dict[str, npt.NDArray[np.bool_]]
    registered: npt.NDArray[np.float32]


def load(number: int, seed: int, size: Size, *, cluttered: bool) -> Patient:
    """Draw a patient and scale the images."""
    drawn = render_patient(draw_patient(seed, number), seed, size, cluttered=cluttered)
    scaled = {name: _unit(drawn.images[name].array) for name in SEQUENCES}
    target = drawn.images["T2"]
    registered = [
        scaled[name] if name == "T2" else _on_grid(scaled[name], drawn.images[name], target)
        for name in SEQUENCES
    ]
    return Patient(
        scaled, {name: drawn.labels[name].array > 0 for name in SEQUENCES}, np.stack(registered)
    )


def _unit(array: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    volume = torch.from_numpy(array.astype(np.float32))[None]
    scaled: npt.NDArray[np.float32] = to_unit_range(volume)[0].numpy()
    return scaled


def _on_grid(
    array: npt.NDArray[np.float32], source: Volume, target: Volume
) -> npt.NDArray[np.float32]:
    resampled = sitk.Resample(_image(array, source), _image(target.array, target))
    found: npt.NDArray[np.float32] = sitk.GetArrayFromImage(resampled)
    return found


def _image(array: npt.NDArray[np.generic], volume: Volume) -> sitk.Image:
    image = sitk.GetImageFromArray(array.astype(np.float32))
    image.SetSpacing(volume.grid.spacing_xyz_mm)
    image.SetOrigin(volume.grid.origin_lps_mm)
    return image


def dice(found: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> float:
    """Dice of two masks; 0 where one is empty."""
    return 2 * float((found & truth).sum()) / max(1, int(found.sum() + truth.sum()))


def by_threshold(patients: list[Patient], name: str) -> npt.NDArray[np.float64]:
    """Dice (patients, thresholds) of everything above a threshold."""
    return np.array(
        [[dice(p.images[name] > t, p.labels[name]) for t in THRESHOLDS] for p in patients]
    )


def by_neighbors(train: list[Patient], test: list[Patient]) -> float:
    """Mean Dice of the vote of a voxel's nearest neighbors in gray values."""
    rng = np.random.default_rng(1)
    voxels, classes = [], []
    for patient in train:
        truth = patient.labels["T2"]
        for value in (False, True):
            places = np.argwhere(truth == value)
            chosen = places[rng.choice(len(places), min(REMEMBERED, len(places)), replace=False)]
            voxels.append(patient.registered[(slice(None), *chosen.T)].T)
            classes.append(np.full(len(chosen), value))
    tree, truth = cKDTree(np.concatenate(voxels)), np.concatenate(classes)

    def votes(patient: Patient) -> npt.NDArray[np.float64]:
        _, near = tree.query(patient.registered.reshape(4, -1).T, NEIGHBORS, eps=0.5)
        return np.asarray(truth[near].mean(axis=1).reshape(patient.labels["T2"].shape))

    # How many votes make a tumor is learned too: tumors are rarer than among what is remembered.
    shares = np.arange(1, NEIGHBORS) / NEIGHBORS
    learned = np.mean(
        [[dice(v > s, p.labels["T2"]) for s in shares] for p in train[::3] for v in [votes(p)]],
        axis=0,
    )
    best = shares[int(learned.argmax())]
    return fmean(dice(votes(patient) > best, patient.labels["T2"]) for patient in test)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=24)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--size", choices=["small", "paper"], default="small")
    parser.add_argument("--cluttered", action="store_true")
    arguments = parser.parse_args()
    patients = [
        load(number, arguments.seed, arguments.size, cluttered=arguments.cluttered)
        for number in range(arguments.patients)
    ]
    count = len(patients) * 2 // 3
    train, test = patients[:count], patients[count:]
    print("| | " + " | ".join(SEQUENCES) + " |\n|---|" + "--:|" * len(SEQUENCES))
    learned, best = [], []
    for name in SEQUENCES:
        chosen = int(by_threshold(train, name).mean(axis=0).argmax())
        scores = by_threshold(test, name)
        learned.append(scores[:, chosen].mean())
        best.append(scores.max(axis=1).mean())
    print("| one threshold | " + " | ".join(f"{value:.3f}" for value in learned) + " |")
    print("| best of each image | " + " | ".join(f"{value:.3f}" for value in best) + " |")
    print(f"nearest neighbors in all four: {by_neighbors(train, test):.3f}")


if __name__ == "__main__":
    main()
