"""The trainer: nnU-Net's own loop with our network, loss, batches and safer checkpoints.

Every method that is overridden is one of the host's hooks (nnunet-v2
``training/nnUNetTrainer/nnUNetTrainer.py``, 2.8); ``tests/contracts`` watches them.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.default_n_proc_DA import get_allowed_n_proc_DA
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import nn

from nnunet_pst.dataset.training_record import check_not_learned, extend_record
from nnunet_pst.errors import Fault, InputError, PSTError
from nnunet_pst.io.case_table import cases_of_dataset, patients_of_images
from nnunet_pst.io.label_values import read_label_values
from nnunet_pst.io.slice_kinds import SliceKind
from nnunet_pst.network.encoder_weights import load_encoder_weights
from nnunet_pst.network.losses import MaskedSoftDiceLoss
from nnunet_pst.network.unet25d import Unet25D
from nnunet_pst.nnunet.edit_checks import check_own_configuration
from nnunet_pst.nnunet.folds import check_fold
from nnunet_pst.nnunet.training.case_reader import CaseReader, SliceCache, cache_bytes, case_slices
from nnunet_pst.nnunet.training.checkpoint_files import whole_checkpoint
from nnunet_pst.nnunet.training.dataloading import BagBatches, BatchesOnDevice
from nnunet_pst.nnunet.training.exported_files import forget_paths
from nnunet_pst.nnunet.training.settings import PLANS_KEY, TrainingSettings
from nnunet_pst.nnunet.training.slice_sampling import SliceSampler
from nnunet_pst.nnunet.training.training_step import (
    TrainingStep,
    adamw,
    compilation_wanted,
    keep_to_chosen_threads,
    step_precision,
)

#: Batches of the validation during training, which serves the curve only.
VALIDATION_BATCHES = 8

#: Threads that make batches beside a GPU, unless ``nnUNet_n_proc_DA`` says fewer. One copies
#: thousands of remembered bags a second; more help while slices are decompressed.
LOADING_THREADS = 4

#: Seconds between two of the host's figures of a training: drawing takes half a second, which on a
#: large GPU is half an epoch.
FIGURE_SECONDS = 60.0

TRAINING_STREAM, VALIDATION_STREAM = 0, 1


class PST25DTrainer(nnUNetTrainer):
    """Trains the 2.5D network on every configuration that `nnunet_pst plan` adds.

    Subclasses in ``trainers/`` change the class attributes and nothing else.
    """

    #: Epochs of a training (paper: 300).
    epochs = 300
    #: An epoch has one iteration for each training patient (paper), but at least this number,
    #: because nnU-Net does its bookkeeping and writes checkpoints after each epoch.
    shortest_epoch = 50
    #: Take unknown voxels for background (the ablation; see ``docs/paper.md``).
    unknown_is_background = False

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 (the host's own default)
    ) -> None:
        with _one_line_errors():
            check_own_configuration(plans, configuration)
        super().__init__(plans, configuration, fold, dataset_json, device)
        with _one_line_errors():
            self.settings = self._settings()
        self.initial_lr = 5e-4
        self.weight_decay = 1e-2
        self.num_epochs = self.epochs
        self.enable_deep_supervision = False
        self.num_val_iterations_per_epoch = VALIDATION_BATCHES
        # A killed training loses at most the current epoch.
        self.save_every = 1
        self._figure_drawn = -math.inf
        self._continues = False

    def _settings(self) -> TrainingSettings:
        values = self.configuration_manager.configuration.get(PLANS_KEY)
        if values is None:
            raise InputError(
                f"configuration '{self.configuration_name}' is not one of ours (no key "
                f"'{PLANS_KEY}' in the plans); run: nnunet_pst plan "
                f"{self.plans_manager.dataset_name} --extend, and train 2d_5 or 2d_mobilenetv2",
                Fault.UNSUPPORTED,
            )
        return TrainingSettings.from_plans(values)

    @staticmethod
    def build_network_architecture(
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """Build the network that the plans describe, with random weights."""
        return Unet25D(
            num_input_channels,
            num_output_channels,
            **configuration_manager.network_arch_init_kwargs,
        )

    def initialize(self) -> None:
        """Build network and optimizer; the plans' seed decides the random weights."""
        torch.manual_seed(self.settings.seed)
        keep_to_chosen_threads()
        with _one_line_errors():
            super().initialize()
        self._step = TrainingStep(
            self.network,
            self.loss,
            self.optimizer,
            scaler=self.grad_scaler,
            precision=step_precision(self.device, self.grad_scaler),
            compiled=compilation_wanted(self.device) and not self.is_ddp,
        )

    def _do_i_compile(self) -> bool:
        # One network takes bags and volumes of any depth, and each shape would be compiled anew.
        # Training steps, which all have one shape, are compiled by themselves.
        return False

    def _bare_network(self) -> Unet25D:
        network: Unet25D = self.network.module if self.is_ddp else self.network
        return network

    def set_deep_supervision_enabled(self, enabled: bool) -> None:
        """Do nothing: the network has one output."""

    def _build_loss(self) -> nn.Module:
        ignore = None if self.unknown_is_background else self.label_manager.ignore_label
        return MaskedSoftDiceLoss(ignore_label=ignore, distributed=self.is_ddp)

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, PolyLRScheduler]:
        """AdamW (paper) under nnU-Net's polynomial schedule."""
        optimizer = adamw(self.network, self.device, rate=self.initial_lr, decay=self.weight_decay)
        return optimizer, PolyLRScheduler(optimizer, self.initial_lr, self.num_epochs)

    def on_train_start(self) -> None:
        """Load encoder weights into a new network, then do what the host does."""
        if self.was_initialized:
            origin = "kept: the weights that were given (checkpoint or -pretrained_weights)"
        else:
            self.initialize()
            encoder = self.configuration_manager.network_arch_init_kwargs["encoder"]
            with _one_line_errors():
                origin = load_encoder_weights(
                    self._bare_network(),
                    encoder,
                    first_layer=self.settings.first_layer,
                    freeze_norms=self.settings.freeze_encoder_norms,
                )
        super().on_train_start()
        if self.local_rank == 0:
            training, _ = self.do_split()
            with _one_line_errors():
                extend_record(
                    Path(self.output_folder),
                    self._patients(training),
                    self._images(training),
                    anew=not self._continues,
                )
        frozen = bool(self._bare_network().encoder_norms_frozen)
        self.print_to_log_file(f"Encoder weights: {origin}; norms {'kept' if frozen else 'learn'}")
        self.print_to_log_file(f"Settings: {self.settings}")
        precision = str(self._step.precision).removeprefix("torch.")
        self.print_to_log_file(f"Training steps convolve in {precision}")
        self.print_to_log_file(
            f"Epochs {self.current_epoch} to {self.num_epochs - 1}, "
            f"{self.num_iterations_per_epoch} iterations of {self.batch_size} bags"
        )

    def do_split(self) -> tuple[list[str], list[str]]:
        """Split as the host does, but refuse folds that do not agree with the case table.

        For a fold that ``splits_final.json`` doesn't have, the host draws cases at random; for
        ``all`` it takes every case that was ever preprocessed.
        """
        training, validation = super().do_split()
        held_out = [] if self.fold == "all" else validation
        raw = os.environ.get("nnUNet_raw")  # noqa: SIM112 (the host's name)
        with _one_line_errors():
            check_fold(
                {"train": training, "val": held_out},
                f"fold {self.fold}",
                Path(self.preprocessed_dataset_folder_base),
                Path(raw) / self.plans_manager.dataset_name if raw else None,
            )
            if self._continues:
                check_not_learned(
                    Path(self.output_folder), self._patients(held_out), self._images(held_out)
                )
        return training, validation

    def load_checkpoint(self, filename_or_checkpoint: dict[str, Any] | str) -> None:
        """Load as the host does; what these weights have learned from stays known."""
        super().load_checkpoint(filename_or_checkpoint)
        self._continues = True

    def _patients(self, cases: Sequence[str]) -> set[str]:
        """Return the patients of cases; without a case table every case is one."""
        rows = cases_of_dataset(Path(self.preprocessed_dataset_folder_base))
        patient_of = {row["case"]: row["patient"] for row in rows}
        return {patient_of.get(case, case) for case in cases}

    def _images(self, cases: Sequence[str]) -> dict[str, str]:
        """Return whose the images of cases are, by the digests of their voxels."""
        rows = cases_of_dataset(Path(self.preprocessed_dataset_folder_base))
        return patients_of_images([row for row in rows if row["case"] in set(cases)])

    def get_dataloaders(self) -> tuple[Iterator[dict[str, Any]], Iterator[dict[str, Any]]]:
        """Return iterators over the remaining training and validation batches."""
        self.inference_allowed_mirroring_axes = (1, 2)
        training, validation = self.get_tr_and_val_datasets()
        with _one_line_errors():
            cache = SliceCache(cache_bytes())
            train_batches = self._batches(training, TRAINING_STREAM, cache, augment=True)
            val_batches = self._batches(validation, VALIDATION_STREAM, cache, augment=False)
        patients = {case.patient for case in train_batches.sampler.cases}
        self.num_iterations_per_epoch = max(self.shortest_epoch, len(patients))
        return (
            self._iterate(train_batches, self.num_iterations_per_epoch),
            self._iterate(val_batches, self.num_val_iterations_per_epoch),
        )

    def _batches(
        self, dataset: Any, stream: int, cache: SliceCache, *, augment: bool
    ) -> BagBatches:
        network = self._bare_network()
        reader = CaseReader(
            dataset,
            intensity=network.intensity,
            unknown_is_background=self.unknown_is_background,
            cache=cache,
            ignore_label=read_label_values(self.dataset_json, "this dataset").ignore,
        )
        rows = cases_of_dataset(Path(self.preprocessed_dataset_folder_base))
        origins = {row["case"]: (row["patient"], row["sequence"]) for row in rows}
        cases = case_slices(reader, dataset.identifiers, origins)
        if not any((case.kinds != SliceKind.UNKNOWN).any() for case in cases):
            other = "" if self.fold == "all" else ", or train another fold"
            raise InputError(
                f"fold {self.fold}: none of {', '.join(dataset.identifiers) or 'its cases'} has a "
                f"slice with a known label; draw some and convert and plan again{other}",
                Fault.EMPTY,
            )
        sampler = SliceSampler(
            cases,
            lesion_share=self.settings.lesion_share,
            negative_share=self.settings.negative_share,
            bags_per_patient=self.settings.bags_per_patient,
        )
        return BagBatches(
            reader=reader,
            sampler=sampler,
            settings=self.settings,
            slices_per_bag=network.slices_per_bag,
            batch_size=self.batch_size,
            augment=augment,
            stream=(stream, self.local_rank),
            repeat_after=None if augment else self.num_val_iterations_per_epoch,
        )

    def _iterate(self, batches: BagBatches, per_epoch: int) -> Iterator[dict[str, Any]]:
        # On a CPU the network uses every core, and a batch costs little.
        on_cpu = self.device.type == "cpu"
        return BatchesOnDevice(
            batches,
            range(self.current_epoch * per_epoch, self.num_epochs * per_epoch),
            device=self.device,
            threads=0 if on_cpu else min(LOADING_THREADS, get_allowed_n_proc_DA()),
        )

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Make one step as the host does, but leave the loss on the device."""
        data = batch["data"].to(self.device, non_blocking=True)
        target = batch["target"].to(self.device, non_blocking=True)
        return {"loss": self._step(data, target)}

    def on_train_epoch_end(self, train_outputs: list[dict[str, Any]]) -> None:
        """Fetch the epoch's losses, then do what the host does."""
        losses = torch.stack([output["loss"] for output in train_outputs]).cpu().numpy()
        super().on_train_epoch_end([{"loss": loss} for loss in losses])

    def on_epoch_end(self) -> None:
        """Do what the host does, but draw its figure once a minute and after the last epoch."""
        now = time.monotonic()
        last = self.current_epoch == self.num_epochs - 1
        if last or now - self._figure_drawn >= FIGURE_SECONDS:
            self._figure_drawn = now
            super().on_epoch_end()
        else:
            with _without_figure(self.logger):
                super().on_epoch_end()

    def save_checkpoint(self, filename: str) -> None:
        """Write the checkpoint beside its place, read it back, then move it: whole or absent."""
        # Only the process that writes it moves it: another process of a distributed training would
        # move an incomplete file, and the leftover of a killed training is never whole.
        if self.local_rank or self.disable_checkpointing:
            super().save_checkpoint(filename)
            return
        with _one_line_errors(), whole_checkpoint(Path(filename)) as unfinished:
            super().save_checkpoint(str(unfinished))

    def _save_debug_information(self) -> None:
        super()._save_debug_information()
        if self.local_rank == 0:
            forget_paths(Path(self.output_folder) / "debug.json")

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """Validate as the host does, then reduce the paths in ``summary.json`` to file names."""
        super().perform_actual_validation(save_probabilities)
        if self.local_rank == 0:
            forget_paths(Path(self.output_folder) / "validation" / "summary.json")


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """End the host's command with our message alone, without a traceback."""
    try:
        yield
    except PSTError as error:
        raise SystemExit("\n".join(f"error: {problem}" for problem in error.problems)) from error


@contextmanager
def _without_figure(logger: Any) -> Iterator[None]:
    """Keep the host's logger from drawing its figure."""
    logger.plot_progress_png = lambda output_folder: None
    try:
        yield
    finally:
        del logger.plot_progress_png
