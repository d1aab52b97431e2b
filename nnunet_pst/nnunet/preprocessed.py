"""Whether preprocessed data belong to the plans and the dataset that are to use them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nnunet_pst.errors import Fault, InputError, Problem, few_of_each_kind
from nnunet_pst.io.digests import file_digest


def check_preprocessed(
    folder: Path, spacing_yx_mm: Sequence[float], raw: Path, file_ending: str
) -> None:
    """Refuse data of other cases, of another spacing, or of labels that have changed since.

    Parameters
    ----------
    folder
        Preprocessed data of a 2D configuration.
    spacing_yx_mm
        In-plane spacing that the plans say.
    raw
        Folder of the raw dataset.
    file_ending
        Of its labels.

    Raises
    ------
    InputError
        With every problem, and what to run.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder.name}: no such preprocessed data; run nnUNetv2_preprocess with these plans",
            Fault.MISSING,
        )
    cases = {
        path.name.removesuffix(file_ending): path
        for path in sorted((raw / "labelsTr").iterdir())
        if path.name.endswith(file_ending)
    }
    there = {path.stem for path in folder.glob("*.pkl")}
    problems = [
        *(
            (case, Problem("is not preprocessed", Fault.MISSING))
            for case in sorted(set(cases) - there)
        ),
        *(
            (case, Problem("is preprocessed but not in the dataset", Fault.UNEXPECTED))
            for case in sorted(there - set(cases))
        ),
        *_changed_labels(cases, folder.parent / "gt_segmentations"),
        *_other_spacings(folder, sorted(there & set(cases)), spacing_yx_mm),
    ]
    if problems:
        raise InputError(
            [
                *few_of_each_kind(problems),
                Problem(
                    f"{folder.parent.name}: preprocess again: nnUNetv2_preprocess with these "
                    "plans, or 'nnunet_pst plan' without --extend",
                    Fault.CONTRADICTION,
                ),
            ]
        )


def _changed_labels(cases: dict[str, Path], copies: Path) -> Iterator[tuple[str, Problem]]:
    """Compare labels with the copies that preprocessing left for validation."""
    for case, label in cases.items():
        copy = copies / label.name
        if copy.is_file() and file_digest(copy) != file_digest(label):
            yield (
                case,
                Problem("has another label than when it was preprocessed", Fault.CONTRADICTION),
            )


def _other_spacings(
    folder: Path, cases: Sequence[str], spacing_yx_mm: Sequence[float]
) -> Iterator[tuple[str, Problem]]:
    """Compare the size of each case with what the plans' spacing makes of it."""
    from nnunetv2.preprocessing.resampling.default_resampling import compute_new_shape
    from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class

    if not cases:
        return
    dataset = infer_dataset_class(str(folder))(str(folder), list(cases))
    for case in cases:
        data, _, _, properties = dataset.load_case(case)
        before: Any = properties["shape_after_cropping_and_before_resampling"]
        spacing = list(properties["spacing"])
        expected = compute_new_shape(before, spacing, [spacing[0], *spacing_yx_mm])
        found = tuple(int(n) for n in data.shape[1:])
        if found != tuple(int(n) for n in expected):
            mm = [s * b / n for s, b, n in zip(spacing[1:], before[1:], found[1:], strict=True)]
            yield (
                case,
                Problem(
                    f"has pixels of {mm[0]:.3g} x {mm[1]:.3g} mm, the plans say "
                    f"{spacing_yx_mm[0]:.3g} x {spacing_yx_mm[1]:.3g} mm",
                    Fault.GEOMETRY,
                ),
            )
