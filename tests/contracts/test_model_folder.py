"""A checkpoint of ours through the host: saved, read back, predicted with, exported, installed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.run.run_training import get_trainer_from_args
from nnunetv2.utilities.file_path_utilities import get_output_folder

Host = Callable[[str], str]
TRAINER = "nnUNetTrainerPST25D_5epochs"
ARGUMENTS = (TRAINER, "nnUNetPlans", "2d_5")


@pytest.fixture(scope="module")
def model(planned: Path) -> Path:
    """Folder of an untrained model, made by the functions behind ``nnUNetv2_train``."""
    trainer = get_trainer_from_args(planned.name, "2d_5", 0, TRAINER, device=torch.device("cpu"))
    trainer.on_train_start()
    trainer.save_checkpoint(str(Path(trainer.output_folder) / "checkpoint_final.pth"))
    return Path(trainer.output_folder_base)


def predictor(model: Path) -> nnUNetPredictor:
    made = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    made.initialize_from_trained_model_folder(str(model), (0,), "checkpoint_final.pth")
    return made


def test_a_dataset_name_needs_no_id(host: Host, model: Path, planned: Path):
    found = get_output_folder(planned.name, *ARGUMENTS)
    assert Path(found) == model, host(f"predict looks in {found}, train has written {model}")


def test_plans_keep_our_key_in_the_results(host: Host, model: Path, planned: Path):
    kept = json.loads((model / "plans.json").read_text())
    wanted = json.loads((planned / "nnUNetPlans.json").read_text())
    assert kept["configurations"]["2d_5"] == wanted["configurations"]["2d_5"], host(
        "changes configurations on their way into the results"
    )


def test_mirroring_axes_round_trip(host: Host, model: Path):
    checkpoint = torch.load(
        model / "fold_0" / "checkpoint_final.pth", map_location="cpu", weights_only=False
    )
    assert checkpoint["inference_allowed_mirroring_axes"] == (1, 2)
    assert predictor(model).allowed_mirroring_axes == (1, 2), host(
        "doesn't read the mirroring axes from a checkpoint"
    )


def test_a_case_is_predicted_on_its_own_grid(host: Host, model: Path, raw: Path, tmp_path: Path):
    import SimpleITK as sitk  # noqa: N813 - its usual name

    image = next((raw / "imagesTr").iterdir())
    target = tmp_path / image.name.replace("_0000", "")
    predictor(model).predict_from_files_sequential([[str(image)]], [str(target)[: -len(".nii.gz")]])
    given, found = sitk.ReadImage(str(image)), sitk.ReadImage(str(target))
    assert found.GetSize() == given.GetSize(), host("exports another size than the image's")
    assert np.allclose(found.GetSpacing(), given.GetSpacing())
    assert set(np.unique(sitk.GetArrayFromImage(found))) <= {0, 1}


def test_adding_in_place_leaves_the_network_as_it_was(host: Host, model: Path):
    made = predictor(model)
    before = {name: value.clone() for name, value in made.network.state_dict().items()}
    shape = made.configuration_manager.patch_size
    volume = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0))
    first = made.predict_sliding_window_return_logits(volume).clone()
    second = made.predict_sliding_window_return_logits(volume)
    assert torch.equal(first, second), host("adds mirrored outputs into something that we keep")
    after = made.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_export_and_install(
    host: Host, model: Path, planned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from nnunetv2.model_sharing.model_export import export_pretrained_model
    from nnunetv2.model_sharing.model_import import install_model_from_zip_file

    # Further files of a training, which the export needs.
    (model / "fold_0" / "progress.png").touch()
    (model / "fold_0" / "validation").mkdir(exist_ok=True)
    (model / "fold_0" / "validation" / "summary.json").write_text("{}")
    shutil.copy(planned / "dataset_fingerprint.json", model)
    archive = tmp_path / "model.zip"
    export_pretrained_model(
        planned.name, str(archive), configurations=("2d_5",), trainer=TRAINER, folds=(0,)
    )
    # The installed model must work without the folders of the machine that trained it.
    for name in ("nnUNet_raw", "nnUNet_preprocessed"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("nnUNet_results", str(tmp_path / "elsewhere"))
    install_model_from_zip_file(str(archive))
    installed = Path(get_output_folder(planned.name, *ARGUMENTS))
    assert predictor(installed).allowed_mirroring_axes == (1, 2), host("can't install our model")


def test_an_archive_holds_no_path_of_this_machine(host: Host, model: Path, host_folders: Path):
    debug = (model / "fold_0" / "debug.json").read_text()
    assert str(host_folders) not in debug, host("writes paths into debug.json, which is exported")
