"""Tiny datasets with known scores."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from comparison_example import (
    PATIENTS,
    image,
    save,
    tumor,
)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Seven test patients, the first of them with two sequences; six columns of tumor each."""
    folder = tmp_path / "raw" / "DatasetPST"
    rows = ["case,patient,sequence,split,label_kind,annotated,first,last,size_cm,malignancy"]
    for number in range(PATIENTS):
        for sequence in ("T1", "T2") if number == 0 else ("T2",):
            name = f"PST_{number}_{sequence}"
            save(folder / "labelsTs" / f"{name}.nii.gz", tumor(6))
            save(folder / "imagesTs" / f"{name}_0000.nii.gz", image(number))
            kind = "benign" if number % 2 else "malignant"
            rows.append(f"{name},PST_{number},{sequence},test,fine,,,,{number + 3},{kind}")
    (folder / "cases.csv").write_text("\n".join(rows) + "\n")
    (folder / "dataset.json").write_text(json.dumps({"file_ending": ".nii.gz"}))
    return folder


@pytest.fixture
def widths(dataset: Path) -> dict[str, int]:
    names = [path.name.removesuffix(".nii.gz") for path in (dataset / "labelsTs").iterdir()]
    return {name: 2 + place % 4 for place, name in enumerate(sorted(names))}


@pytest.fixture
def training_dataset(dataset: Path) -> Path:
    shutil.move(dataset / "labelsTs", dataset / "labelsTr")
    shutil.move(dataset / "imagesTs", dataset / "imagesTr")
    text = (dataset / "cases.csv").read_text()
    (dataset / "cases.csv").write_text(text.replace(",test,", ",train,"))
    return dataset
