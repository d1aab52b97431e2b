"""A dataset of four test cases and one validation case, and predictions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from evaluation_example import CASES, SHAPE, TUMOR, save


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A raw dataset with four test cases, and one validation case with unknown slices."""
    folder = tmp_path / "raw" / "DatasetPST"
    rows = ["case,patient,sequence,split,label_kind,annotated,first,last,age"]
    image = np.random.default_rng(0).normal(100, 10, SHAPE).astype(np.float32)
    for name, (patient, sequence, split, label, _) in CASES.items():
        save(folder / "labelsTs" / f"{name}.nii.gz", label)
        save(folder / "imagesTs" / f"{name}_0000.nii.gz", image)
        rows.append(f"{name},{patient},{sequence},{split},fine,,,,61")
    coarse = TUMOR.copy()
    coarse[:2] = 2
    save(folder / "labelsTr" / "PST_0004_T1.nii.gz", coarse)
    save(folder / "imagesTr" / "PST_0004_T1_0000.nii.gz", image)
    rows.append("PST_0004_T1,PST_0004,T1,val,coarse,2-6,,,44")
    (folder / "cases.csv").write_text("\n".join(rows) + "\n")
    description = {"file_ending": ".nii.gz", "nnunet_pst": {"simulate_coarse": None}}
    description["nnunet_pst"] |= {"coarse_slices": 1}
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    """What nnUNetv2_predict leaves for the four test cases."""
    folder = tmp_path / "predictions"
    for name, (*_, prediction) in CASES.items():
        save(folder / f"{name}.nii.gz", prediction)
    for name in ("dataset.json", "plans.json", "predict_from_raw_data_args.json"):
        (folder / name).write_text("{}")
    return folder
