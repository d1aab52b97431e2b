"""The trainer inside the host, in this process: its inputs and its refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from nnunetv2.run.load_pretrained_weights import load_pretrained_weights
from nnunetv2.run.run_training import get_trainer_from_args

from nnunet_pst.errors import Fault, PSTError
from nnunet_pst.nnunet.training import base_trainer
from nnunet_pst.nnunet.training.slice_sampling import CaseSlices

pytestmark = pytest.mark.slow

DATASET = "DatasetPST"
TINY = "nnUNetTrainerPST25D_tiny"


@pytest.fixture
def workplace(planned, tmp_path: Path):
    """The planned workplace with results of its own, entered for the length of a test."""
    place = planned.but(nnUNet_results=tmp_path)
    with place.entered():
        yield place


def start(configuration: str = "2d_5", fold: int | str = 0, name: str = TINY):
    return get_trainer_from_args(DATASET, configuration, fold, name, device=torch.device("cpu"))


def one_line_fault(ended: SystemExit) -> Fault:
    """The fault behind the single line with which a trainer ends the host's command."""
    assert isinstance(ended.__cause__, PSTError)
    assert ended.code == f"error: {ended.__cause__}"
    assert "\n" not in ended.code
    return ended.__cause__.fault


def log_of(trainer) -> str:
    return Path(trainer.log_file).read_text()


@pytest.mark.usefixtures("workplace")
def test_a_stock_configuration_is_refused_in_one_line():
    with pytest.raises(SystemExit, match=r"^error: .* '2d' is not one of ours .* --extend"):
        start("2d")


@pytest.mark.parametrize(
    ("edit", "fault"),
    [({"batch_size": 0}, Fault.OUT_OF_RANGE), ({"spacing": [1.0, 1.0]}, Fault.UNSUPPORTED)],
)
def test_an_edit_after_planning_is_refused_in_one_line(workplace, edit: dict, fault: Fault):
    file = workplace.preprocessed / DATASET / "nnUNetPlans.json"
    whole = file.read_text()
    content = json.loads(whole)
    content["configurations"]["2d_5"] |= edit
    try:
        file.write_text(json.dumps(content))
        with pytest.raises(SystemExit) as ended:
            start()
        assert one_line_fault(ended.value) is fault
    finally:
        file.write_text(whole)


@pytest.mark.usefixtures("workplace")
def test_pretrained_weights_are_not_written_over(trained):
    weights = trained.model / "fold_0" / "checkpoint_final.pth"
    trainer = start()
    trainer.initialize()
    load_pretrained_weights(trainer.network, str(weights), verbose=False)
    trainer.on_train_start()
    assert "Encoder weights: kept" in log_of(trainer)
    wanted = torch.load(weights, map_location="cpu", weights_only=False)["network_weights"]
    found = trainer.network.state_dict()
    encoder = [name for name in wanted if ".encoder." in name]
    assert encoder
    assert all(torch.equal(found[name], wanted[name]) for name in encoder)


@pytest.mark.usefixtures("workplace")
def test_the_2d_network_trains_on_single_slices():
    trainer = start("2d_mobilenetv2")
    trainer.on_train_start()
    batch = next(trainer.dataloader_train)
    assert batch["data"].shape == (12, 1, 64, 64)
    assert 0 < trainer.train_step(batch)["loss"] < 1


@pytest.mark.usefixtures("workplace")
def test_fold_all_trains_on_all_patients():
    trainer = start(fold="all")
    trainer.on_train_start()
    assert len(trainer.dataloader_train.batches.sampler.cases) == 6
    batch = next(trainer.dataloader_train)
    assert batch["data"].shape == (12, 3, 64, 64)
    assert len(set(batch["keys"])) == 6


@pytest.mark.usefixtures("workplace")
def test_a_fold_trains_on_its_patients_only(validation_cases):
    trainer = start()
    trainer.on_train_start()
    training, validation = next(trainer.dataloader_train), next(trainer.dataloader_val)
    assert not set(training["keys"]) & set(validation_cases)
    assert set(validation["keys"]) == set(validation_cases)


def test_a_fold_that_would_separate_a_patient_is_refused(workplace, tmp_path: Path):
    # Two cases for every patient; the host draws a fold that is in no file case by case.
    copy = workplace.but(nnUNet_preprocessed=tmp_path / "preprocessed")
    folder = copy.preprocessed / DATASET
    shutil.copytree(workplace.preprocessed / DATASET, folder)
    table = folder / "cases.csv"
    for odd, even in ((1, 2), (3, 4), (5, 6)):
        text = table.read_text()
        table.write_text(text.replace(f",PST_{even:04},", f",PST_{odd:04},"))
    with copy.entered():
        trainer = start(fold=7)
        with pytest.raises(SystemExit) as caught:
            trainer.on_train_start()
    assert one_line_fault(caught.value) is Fault.LEAK


@pytest.mark.usefixtures("workplace")
def test_a_malformed_cache_limit_is_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NNUNET_PST_CACHE_GB", "plenty")
    with pytest.raises(SystemExit) as caught:
        start().on_train_start()
    assert one_line_fault(caught.value) is Fault.MALFORMED


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize(
    ("fold", "remedy"),
    [(0, "plan again, or train another fold"), ("all", "plan again")],
)
def test_a_fold_without_a_known_slice_is_one_line(
    monkeypatch: pytest.MonkeyPatch, fold: int | str, remedy: str
):
    unknown = CaseSlices("PST_0001_T2", "PST_0001", "T2", np.zeros(4, dtype=np.int8))
    monkeypatch.setattr(base_trainer, "case_slices", lambda *_: [unknown])
    message = rf"^error: fold {fold}: none of .* draw some .* {remedy}$"
    with pytest.raises(SystemExit, match=message):
        start(fold=fold).on_train_start()


@pytest.mark.usefixtures("workplace")
def test_the_ablation_learns_from_what_is_unknown():
    masked, unmasked = start(), start(name="nnUNetTrainerPST25D_noMask")
    values = {}
    for trainer in (masked, unmasked):
        trainer.on_train_start()
        target = torch.cat([next(trainer.dataloader_train)["target"] for _ in range(3)])
        kinds = {
            int(kind)
            for case in trainer.dataloader_train.batches.sampler.cases
            for kind in case.kinds
        }
        values[trainer.unknown_is_background] = set(target.unique().tolist()), 0 in kinds
        assert trainer.loss.ignore_label == (None if trainer.unknown_is_background else 2)
    # The ablation has no wholly unknown slices; in other trainings they are never drawn.
    assert values == {False: ({0, 1}, True), True: ({0, 1}, False)}


@pytest.mark.usefixtures("workplace")
def test_without_checkpoints_the_incomplete_file_of_a_killed_training_stays():
    trainer = start()
    trainer.initialize()
    trainer.disable_checkpointing = True
    file = Path(trainer.output_folder) / "checkpoint_latest.pth"
    half = file.with_name(f"{file.name}.unfinished")
    half.write_bytes(b"half")
    trainer.save_checkpoint(str(file))
    assert not file.exists()
    assert half.read_bytes() == b"half"


@pytest.mark.usefixtures("workplace")
def test_the_figure_is_drawn_at_first_at_last_and_once_a_minute(monkeypatch: pytest.MonkeyPatch):
    trainer = start()
    trainer.disable_checkpointing = True
    drawn = []
    monkeypatch.setattr(
        type(trainer.logger),
        "plot_progress_png",
        lambda _, folder: drawn.append(trainer.current_epoch),
    )
    now = iter([0.0, 59.0, 61.0, 62.0])
    monkeypatch.setattr(base_trainer.time, "monotonic", lambda: next(now))
    for epoch in range(4):
        for name in ("epoch_start_timestamps", "train_losses", "val_losses", "mean_fg_dice"):
            trainer.logger.log(name, 0.5, epoch)
        trainer.logger.log("dice_per_class_or_region", [0.5], epoch)
        trainer.on_epoch_end()
    assert drawn == [0, 2, 3]
    assert trainer.current_epoch == 4


@pytest.mark.usefixtures("workplace")
def test_the_same_seed_makes_the_same_network():
    first, second = start(), start()
    first.initialize()
    torch.rand(3)
    second.initialize()
    for one, other in zip(first.network.parameters(), second.network.parameters(), strict=True):
        assert torch.equal(one, other)
