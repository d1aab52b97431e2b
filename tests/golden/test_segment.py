"""Models that were trained here, through `segment`: the same masks as the host's own command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nnunet_pst.io.volumes import read_image
from nnunet_pst.nnunet.models.prediction import load_model

pytestmark = pytest.mark.slow


def test_masks_and_probabilities_are_the_hosts(
    trained, predicted: Path, voxels: Callable, host: Callable[[str], str]
):
    with trained.entered():
        model = load_model(trained.model, device="cpu")
    images = sorted((trained.raw / "DatasetPST" / "imagesTs").iterdir())
    assert len(images) == 2
    for image in images:
        case = image.name.removesuffix("_0000.nii.gz")
        found = model.predict([read_image(image)], probability=True)
        assert np.array_equal(found.labels == 1, voxels(predicted / f"{case}.nii.gz") == 1), host(
            f"predicts another mask for {case} than `segment`"
        )
        with np.load(predicted / f"{case}.npz") as stored:
            # The host takes as many threads as nnUNet_def_n_proc says, which splits sums otherwise,
            # and keeps logits in half precision: equal up to its last bit.
            np.testing.assert_allclose(
                found.probability, stored["probabilities"][1], rtol=0, atol=1e-3
            )


def test_segment_in_a_plain_shell(trained, tmp_path: Path):
    """Without nnU-Net's variables the trainer is still found."""
    image = next((trained.raw / "DatasetPST" / "imagesTs").iterdir())
    # The tests' trainer is in its own folder, like a user's own trainer.
    listed = trained.variables["nnUNet_extTrainer"].split(os.pathsep)
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("nnUNet", "NNUNET"))}
    command = [str(Path(sys.executable).parent / "nnunet_pst"), "segment", f"T2={image}"]
    command += ["--model", str(trained.model), "-o", str(tmp_path / "out"), "--device", "cpu"]
    done = subprocess.run(
        command,
        env={**plain, "nnUNet_extTrainer": listed[-1]},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.startswith("study_0001: ")
    report = json.loads((tmp_path / "out" / "study_0001" / "report.json").read_text())
    (model,) = report["models"]
    assert model["trained_on"] == ["T2"]
    assert set(model["sha256"]) >= {"plans.json", "dataset.json", "fold_0/checkpoint_final.pth"}


def test_openvino_gives_the_same_masks(trained):
    with trained.entered():
        models = [load_model(trained.model, device="cpu", engine=e) for e in ("torch", "openvino")]
    for image in sorted((trained.raw / "DatasetPST" / "imagesTs").iterdir()):
        expected, found = (model.predict([read_image(image)]).labels for model in models)
        assert expected.any()
        assert 2 * (expected & found).sum() >= 0.999 * (expected.sum() + found.sum())
