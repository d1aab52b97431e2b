"""What is trained in ``nnUNet_results``: finished validations that can be compared.

nnU-Net keeps a training in ``<Dataset>/<trainer>__<plans>__<configuration>/fold_<n>``, and the
masks of its own validation patients in ``validation`` there (nnunet-v2 ``paths.py``,
``utilities/file_path_utilities.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunet_pst.comparison.methods import Method
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.evaluation.references import VALIDATION

STOCK = "nnUNetTrainer"


@dataclass(frozen=True)
class Found:
    """What was found.

    Parameters
    ----------
    methods
        With the validation folders of the folds that all of them have.
    skipped
        A line for each training or fold that is left out, with the reason.
    """

    methods: tuple[Method, ...]
    skipped: tuple[str, ...]


def trained_methods(results: Path) -> Found:
    """Find the trainings of a dataset whose validation is finished, on the folds that all have.

    A method is called ``<configuration>`` when its trainer is the only one of that configuration,
    else ``<configuration>_<trainer>``.

    Parameters
    ----------
    results
        The dataset's folder in ``nnUNet_results``.

    Raises
    ------
    InputError
        There is no such folder, or no training has a finished validation.
    """
    if not results.is_dir():
        raise InputError(
            f"{results.name}: nothing is trained (no such folder in nnUNet_results)", Fault.MISSING
        )
    skipped: list[str] = []
    folds: dict[tuple[str, str, str], dict[str, Path]] = {}
    for folder in sorted(path for path in results.iterdir() if path.is_dir()):
        parts = folder.name.split("__")
        if len(parts) == 3:
            finished = _finished(folder, skipped)
            if finished:
                folds[(parts[0], parts[1], parts[2])] = finished
    if not folds:
        reasons = [f"left out: {line}" for line in skipped]
        raise InputError(
            [f"{results.name}: no training has a finished validation", *reasons],
            Fault.TOO_FEW,
        )
    common = set.intersection(*(set(found) for found in folds.values()))
    every = sorted(set.union(*(set(found) for found in folds.values())))
    lacking = {
        fold: ["__".join(key) for key, found in folds.items() if fold not in found]
        for fold in every
    }
    if not common:
        raise InputError(
            [
                f"{results.name}: no fold is finished by every training; validate one with all",
                *(f"{fold} is lacking from {', '.join(who)}" for fold, who in lacking.items()),
            ],
            Fault.MISSING,
        )
    skipped += [
        f"{'__'.join(key)} {fold}: lacking from {', '.join(lacking[fold])}"
        for key, found in folds.items()
        for fold in sorted(set(found) - common)
    ]
    methods = [
        Method(name, tuple(folds[key][fold] for fold in sorted(common)))
        for key, name in zip(folds, _names(list(folds)), strict=True)
    ]
    return Found(tuple(methods), tuple(skipped))


def stock_method(methods: Sequence[Method]) -> str:
    """Name of the first method of the stock trainer; of the first one if there is none."""
    for method in methods:
        if method.folders[0].parent.parent.name.split("__")[0] == STOCK:
            return method.name
    return methods[0].name


def _finished(folder: Path, skipped: list[str]) -> dict[str, Path]:
    """Validation folders by fold; nnU-Net writes ``summary.json`` when it has all masks."""
    found = {}
    for fold in sorted(folder.glob("fold_*")):
        validation = fold / VALIDATION
        if fold.name == "fold_all":
            skipped.append(f"{folder.name} {fold.name}: its validation patients were trained on")
        elif (validation / "summary.json").is_file():
            found[fold.name] = validation
        else:
            skipped.append(
                f"{folder.name} {fold.name}: has no finished validation "
                "(nnUNetv2_train ... --val makes one; trainers for a time leave it out)"
            )
    return found


def _names(keys: Sequence[tuple[str, str, str]]) -> list[str]:
    configurations = [configuration for _, _, configuration in keys]
    names = [
        configuration if configurations.count(configuration) == 1 else f"{configuration}_{trainer}"
        for trainer, _, configuration in keys
    ]
    return [
        name if names.count(name) == 1 else f"{name}_{plans}"
        for name, (_, plans, _) in zip(names, keys, strict=True)
    ]
