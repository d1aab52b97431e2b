"""nnU-Net's raw dataset on disk: names, folders, and files that are whole or absent.

nnUNet_raw/
  DatasetPST/
    imagesTr/PST_0001_T2_0000.nii.gz   labelsTr/PST_0001_T2.nii.gz
    imagesTs/...                       labelsTs/...
    cases.csv                          what each case is (pseudonyms only)
    dataset.json                       written last: without it nnU-Net sees no dataset
  DatasetPST_patients.csv              the key from pseudonym to patient (private)
  DatasetPST_conversion.jsonl          what a resumed conversion needs (private)
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_pst import __version__
from nnunet_pst.dataset.case_building import BuiltCase, CaseFacts
from nnunet_pst.dataset.layouts import Case, Layout
from nnunet_pst.dataset.slice_ranges import format_slices
from nnunet_pst.errors import Fault, HostError, InputError
from nnunet_pst.io.atomic_files import PARTIAL, written_whole
from nnunet_pst.io.case_table import CASE_COLUMNS
from nnunet_pst.io.csv_text import csv_text
from nnunet_pst.io.dataset_folders import dataset_name
from nnunet_pst.io.geometry import plane_of
from nnunet_pst.io.volumes import read_header, write_volume
from nnunet_pst.labels import LABEL_VALUES

FILE_ENDING = ".nii.gz"
_DATASET_NAME = re.compile(r"Dataset(\d{3}_)?[A-Za-z][A-Za-z0-9_-]{0,63}")
_OUR_FILES = re.compile(
    rf"PST_\d{{4,}}(_[A-Za-z0-9-]+)?(_\d{{4}})?\.nii\.gz|{re.escape(PARTIAL)}.*"
)
_CASE_FOLDERS = ("imagesTr", "labelsTr", "imagesTs", "labelsTs")
#: The key of ``dataset.json`` that holds our rules.
OWN_KEY = "nnunet_pst"


@dataclass(frozen=True)
class RawDataset:
    """Where the files of a dataset are.

    Parameters
    ----------
    raw
        nnU-Net's raw folder.
    name
        ``DatasetPST`` or ``DatasetNNN_Name``.
    """

    raw: Path
    name: str

    @property
    def folder(self) -> Path:
        """The folder that nnU-Net reads, and that may be shared."""
        return self.raw / self.name

    @property
    def key(self) -> Path:
        """The key from pseudonyms to patients; outside the folder, and never shared."""
        return self.raw / f"{self.name}_patients.csv"

    @property
    def journal(self) -> Path:
        """What was converted from which state of the sources; also outside the folder."""
        return self.raw / f"{self.name}_conversion.jsonl"

    @property
    def registration(self) -> Path:
        """Transforms and pictures of registered sequences.

        Not beside the dataset folder: nnU-Net takes every folder whose name begins with a
        dataset's number for a dataset.
        """
        return self.raw / "registration" / self.name

    @property
    def own_folders(self) -> list[Path]:
        """The folders that nothing but a conversion of this dataset writes."""
        return [self.folder, self.registration]

    @property
    def description(self) -> Path:
        """``dataset.json``."""
        return self.folder / "dataset.json"

    def image_files(self, case: Case) -> list[Path]:
        """Return the files of a case's channels."""
        folder = self.folder / f"images{_suffix(case)}"
        return [folder / f"{case.name}_{i:04d}{FILE_ENDING}" for i in range(len(case.channels))]

    def label_file(self, case: Case) -> Path | None:
        """Return the file of a case's label; None when it has none."""
        if case.labeled.label is None:
            return None
        return self.folder / f"labels{_suffix(case)}" / f"{case.name}{FILE_ENDING}"

    def files(self, case: Case) -> list[Path]:
        """Return all files of a case, the label last."""
        label = self.label_file(case)
        return [*self.image_files(case), *([label] if label else [])]

    def holds(self, name: str) -> bool:
        """Whether there is an image of a case of this name, in the table or not."""
        return any(
            (self.folder / folder / f"{name}_0000{FILE_ENDING}").is_file()
            for folder in _CASE_FOLDERS
        )


def _suffix(case: Case) -> str:
    # Validation patients are among nnU-Net's training cases; splits_final.json tells them apart.
    return "Ts" if case.patient.split == "test" else "Tr"


def locate_dataset(name: str) -> RawDataset:
    """Find the place of a dataset in nnU-Net's raw folder; neither has to exist.

    Parameters
    ----------
    name
        Of the dataset, or the number of one that exists.

    Raises
    ------
    InputError
        When nnU-Net doesn't accept the name, its number is taken, or no dataset has the number.
    HostError
        When ``nnUNet_raw`` is not set or not a folder.
    """
    name = dataset_name(name)
    if not _DATASET_NAME.fullmatch(name):
        raise InputError(
            f"'{name}' is not a dataset name; write such as DatasetPST or Dataset501_PST (letters, "
            "digits, '_' and '-')",
            Fault.MALFORMED,
        )
    root = os.environ.get("nnUNet_raw")  # noqa: SIM112 - the host's own spelling
    if not root:
        raise HostError(
            'nnUNet_raw is not set; run: eval "$(nnunet_pst env FOLDER)"', Fault.NOT_SET
        )
    raw = Path(root)
    if raw.exists() and not raw.is_dir():
        raise HostError(f"nnUNet_raw is not a folder: {raw}", Fault.WRONG_TYPE)
    if number := re.match(r"Dataset\d{3}_", name):
        # nnU-Net looks datasets up by their number and stops when it finds two.
        others = [p.name for p in raw.glob(f"{number[0]}*") if p.is_dir() and p.name != name]
        if others:
            raise InputError(
                f"{others[0]} has the number of {name} already; choose another one", Fault.EXISTS
            )
    return RawDataset(raw, name)


def write_case(dataset: RawDataset, case: Case, built: BuiltCase) -> None:
    """Write the files of a case, each whole before it gets its name, the label last."""
    volumes = [*built.images, *([built.label] if built.label is not None else [])]
    for path, volume in zip(dataset.files(case), volumes, strict=True):
        with written_whole(path) as partial:
            write_volume(partial, volume)


def remove_strangers(dataset: RawDataset, cases: Iterable[Case]) -> int:
    """Remove our files that belong to none of the cases: those of a killed or older run.

    Returns
    -------
    int
        How many files were removed.
    """
    expected = {path for case in cases for path in dataset.files(case)}
    strangers = [
        path
        for folder in (dataset.folder, *(dataset.folder / name for name in _CASE_FOLDERS))
        for path in (folder.iterdir() if folder.is_dir() else ())
        if path not in expected and _OUR_FILES.fullmatch(path.name)
    ]
    for private in (dataset.key, dataset.journal):
        strangers += dataset.raw.glob(f"{PARTIAL}*-{private.name}")
    for path in strangers:
        path.unlink()
    return len(strangers)


def make_folders(dataset: RawDataset, cases: Iterable[Case]) -> None:
    """Create the folders that the cases need."""
    for path in {path.parent for case in cases for path in dataset.files(case)}:
        path.mkdir(parents=True, exist_ok=True)


def is_ours(dataset: RawDataset) -> bool:
    """Whether an existing dataset folder was made here, by a finished or interrupted conversion."""
    if dataset.journal.is_file():
        return True
    try:
        return OWN_KEY in json.loads(dataset.description.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def training_planes(dataset: RawDataset, cases: Iterable[Case]) -> list[str]:
    """Return the planes of the slices of all training cases, from the headers of their images."""
    training = [case for case in cases if case.patient.split != "test"]
    return sorted({plane_of(read_header(dataset.image_files(case)[0])) for case in training})


def dataset_description(
    cases: Sequence[Case],
    layout: Layout,
    *,
    settings: Mapping[str, Any],
    sequences: Sequence[str],
    planes: Sequence[str],
) -> dict[str, Any]:
    """Build the content of ``dataset.json``: the host's keys, and ours under one name.

    ``settings`` holds for all cases; ``sequences`` are in the order of the channels; ``planes`` are
    those of `training_planes`, by which `segment` refuses slices of others.
    """
    return {
        "channel_names": {
            str(i): name for i, name in enumerate(layout.channel_names(tuple(sequences)))
        },
        "labels": LABEL_VALUES,
        "numTraining": sum(case.patient.split != "test" for case in cases),
        "file_ending": FILE_ENDING,
        OWN_KEY: {
            "version": __version__,
            **settings,
            "sequences": list(sequences),
            "planes": list(planes),
        },
    }


def cases_table(
    cases: Sequence[Case], facts: Mapping[str, CaseFacts], covariates: Sequence[str]
) -> str:
    """Build the content of ``cases.csv``; covariates must have been screened.

    ``image_digest`` tells a training which images it knows, whatever their patients are called.
    """
    rows: list[list[object]] = [[*CASE_COLUMNS, *covariates]]
    for case in cases:
        fact = facts[case.name]
        # Where a mask was carried, the clicks count the slices of the other sequence.
        clicked = None if case.mask_from else case.reference
        rows.append(
            [
                case.name,
                case.pseudonym,
                "+".join(channel.name for channel in case.present),
                case.patient.split,
                fact.label_kind,
                format_slices(fact.annotated),
                "" if clicked is None or clicked.first is None else clicked.first,
                "" if clicked is None or clicked.last is None else clicked.last,
                "+".join(one.voxels for one in fact.digests if not one.column.endswith("_label")),
                *(case.patient.covariates[name] for name in covariates),
            ]
        )
    return csv_text(rows)
