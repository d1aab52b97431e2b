"""Images that show the same under two names are found, and different patients are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from nnunet_pst.dataset.look_alikes import look_alikes, said_of
from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.miniatures import Miniature, alike, miniature
from nnunet_pst.io.volumes import Volume, write_volume
from nnunet_pst.phantom.cohort import render_patient
from nnunet_pst.phantom.patients import draw_patient

PATIENTS = 4


def zoomed(array: np.ndarray, *by: float) -> np.ndarray:
    return ndimage.zoom(array.astype(np.float32), by, order=1)


def noisy(array: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 0.03 * np.percentile(array, 99), array.shape)
    return array + noise


COPIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "the same voxels": lambda a: a,
    "another type": lambda a: (a / a.max() * 255).astype(np.uint8),
    "another gray scale": lambda a: 3.5 * a.astype(np.float32) + 70,
    "noise": noisy,
    "blur": lambda a: ndimage.gaussian_filter(a.astype(np.float32), (0, 0.6, 0.6)),
    "cropped": lambda a: a[:, 3:-2, 4:],
    "without its last slice": lambda a: a[:-1],
    "padded": lambda a: np.pad(a, ((2, 1), (9, 3), (0, 7))),
    "another spacing": lambda a: zoomed(a, 1, 0.7, 0.7),
    "other slices": lambda a: zoomed(a, 1.5, 0.8, 0.8),
    "mirrored": lambda a: a[:, :, ::-1],
    "mirrored and resampled": lambda a: zoomed(a[::-1, ::-1], 1, 0.8, 0.8),
    "turned and resampled": lambda a: zoomed(np.rot90(a, 1, (1, 2)), 1, 0.8, 0.8),
    "cropped, noisy and resampled": lambda a: noisy(zoomed(a[1:, 3:, :-4], 1, 0.8, 0.8)),
}


@pytest.fixture(scope="module")
def patients() -> list[dict[str, np.ndarray]]:
    """Images of different phantom patients by sequence."""
    return [
        {name: image.array for name, image in rendered.images.items()}
        for rendered in (render_patient(draw_patient(3, n), 3, "small") for n in range(PATIENTS))
    ]


def save(
    dataset: Path, case: str, array: np.ndarray, split: str = "train", spacing: float = 1
) -> None:
    folder = dataset / ("imagesTs" if split == "test" else "imagesTr")
    folder.mkdir(parents=True, exist_ok=True)
    grid = Grid(
        array.shape[::-1], (spacing, spacing, 4.0), (0.0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1)
    )
    write_volume(folder / f"{case}_0000.nii.gz", Volume(np.ascontiguousarray(array), grid))
    (dataset / "dataset.json").write_text(json.dumps({"file_ending": ".nii.gz"}))


def tabulate(dataset: Path, rows: list[str]) -> None:
    head = "case,patient,sequence,split,label_kind,annotated,first,last"
    (dataset / "cases.csv").write_text(
        "\n".join([head, *(f"{row},fine,,," for row in rows)]) + "\n"
    )


def test_different_patients_are_not_alike(patients: list[dict[str, np.ndarray]]) -> None:
    images = [(str(n), array) for n, one in enumerate(patients) for array in one.values()]
    small = [miniature(array) for _, array in images]
    assert all(one is not None for one in small)
    assert not list(alike([s for s in small if s is not None], [name for name, _ in images]))


@pytest.fixture(scope="module")
def small(patients: list[dict[str, np.ndarray]]) -> list[Miniature]:
    """Of one sequence of all patients."""
    found = [miniature(images["T2"]) for images in patients]
    return [one for one in found if one is not None]


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_is_found(
    patients: list[dict[str, np.ndarray]], small: list[Miniature], how: str
) -> None:
    copy = miniature(COPIES[how](patients[2]["T2"]))
    assert copy is not None
    names = [*map(str, range(PATIENTS)), "copy"]
    ((first, second, _),) = alike([*small, copy], names)
    assert (first, second) == (2, PATIENTS)


@pytest.mark.parametrize(
    ("copy", "said"),
    [
        (lambda a: a.astype(np.float32), "the same voxels"),
        (lambda a: zoomed(a, 1, 0.7, 0.7), "nearly the same image (correlation 0.99"),
    ],
)
def test_a_copy_in_another_split_is_a_leak(
    tmp_path: Path, patients: list[dict[str, np.ndarray]], copy, said: str
) -> None:
    save(tmp_path, "PST_0_T2", patients[0]["T2"])
    save(tmp_path, "PST_9_T2", copy(patients[0]["T2"]), "test", spacing=1.7)
    (line,) = said_of(look_alikes(tmp_path))
    assert line.startswith(f"leak: PST_0_T2 (train) and PST_9_T2 (test) hold {said}")


def test_copies_within_a_split_are_told_with_the_folds_they_are_in(
    tmp_path: Path, patients: list[dict[str, np.ndarray]]
) -> None:
    save(tmp_path, "PST_0_T2", patients[0]["T2"])
    save(tmp_path, "PST_1_T2", zoomed(patients[0]["T2"], 1, 0.8, 0.8))
    (one, two) = names = ["PST_0_T2", "PST_1_T2"]
    found = look_alikes(tmp_path)
    (line,) = said_of(found, [{"train": names, "val": []}, {"train": [one], "val": [two]}])
    assert not line.startswith("leak")
    assert "in fold 1 one is learned from and the other validated on" in line
    (line,) = said_of(found, [{"train": names, "val": []}])
    assert "in fold" not in line


def test_one_patients_sequences_may_be_alike(
    tmp_path: Path, patients: list[dict[str, np.ndarray]]
) -> None:
    save(tmp_path, "PST_0_T1", patients[0]["T2"])
    save(tmp_path, "PST_0_T2", 2.0 * patients[0]["T2"])
    tabulate(tmp_path, ["PST_0_T1,PST_0,T1,train", "PST_0_T2,PST_0,T2,train"])
    assert not look_alikes(tmp_path)


def test_images_that_show_nearly_nothing_are_not_alike(tmp_path: Path) -> None:
    for number in range(3):
        array = np.random.default_rng(number).normal(0, 1, (10, 40, 40)).astype(np.float32)
        array[5, 20:22, 20:22] = 1000
        save(tmp_path, f"PST_{number}", array)
        save(tmp_path, f"PST_{number + 5}", np.zeros((10, 40, 40), np.float32))
    assert not look_alikes(tmp_path)


def test_what_cannot_be_read_is_left_to_others(
    tmp_path: Path, patients: list[dict[str, np.ndarray]]
) -> None:
    save(tmp_path, "PST_0", patients[0]["T2"])
    (tmp_path / "imagesTr" / "PST_1_0000.nii.gz").write_bytes(b"no image")
    assert not look_alikes(tmp_path)


def test_two_patients_are_told_of_once(
    tmp_path: Path, patients: list[dict[str, np.ndarray]]
) -> None:
    for name in ("T1", "T2"):
        save(tmp_path, f"PST_0_{name}", patients[0][name])
        save(tmp_path, f"PST_1_{name}", patients[0][name] * 2.0)
    rows = [f"PST_{n}_{name},PST_{n},{name},train" for n in (0, 1) for name in ("T1", "T2")]
    tabulate(tmp_path, rows)
    assert len(look_alikes(tmp_path)) == 1


def test_many_pairs_are_counted(tmp_path: Path, patients: list[dict[str, np.ndarray]]) -> None:
    for number in range(6):
        save(tmp_path, f"PST_{number}", patients[0]["T2"] * (1.0 + number))
    lines = said_of(look_alikes(tmp_path))
    assert len(lines) == 11
    assert lines[-1] == "5 more pairs of images of two patients show the same"
