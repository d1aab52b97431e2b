"""A model, images and studies that are quick to segment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.volumes import Volume
from nnunet_pst.registration.policy import RegistrationSettings
from nnunet_pst.segmentation.batch import BatchOutcome, segment_studies
from nnunet_pst.segmentation.model_interface import ModelFacts, Prediction, choose_models
from nnunet_pst.segmentation.study import SegmentationSettings
from nnunet_pst.segmentation.study_input import Study, StudySequence

GRID = Grid((20, 18, 8), (1.5, 1.5, 5.0), (-12.0, 7.0, 30.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
UNREGISTERED = SegmentationSettings(registration=RegistrationSettings(engine="none"))


class Threshold:
    """A model whose tumor is the bright part of its first channel; remembers its calls."""

    def __init__(self, *channels: str, level: float = 500.0, digest: str = "a") -> None:
        self.facts = ModelFacts(
            name="-".join(channels),
            channels=channels,
            sequences=("T1", "T2", "CET1"),
            spacing_range_zyx_mm=((4.0, 6.0), (1.0, 2.0), (1.0, 2.0)),
            sha256={"fold_0/checkpoint_final.pth": digest * 64},
            folds=1,
        )
        self.level = level
        self.calls: list[list[Volume]] = []

    def predict(self, channels: Sequence[Volume], *, probability: bool = False) -> Prediction:
        self.calls.append(list(channels))
        tumor = 1 / (1 + np.exp(-(channels[0].array.astype(float) - self.level) / 50))
        return Prediction(tumor > 0.5, tumor.astype(np.float32) if probability else None)


def image(seed: int = 0, *, tumor: bool = True, grid: Grid = GRID) -> Volume:
    array = np.random.default_rng(seed).integers(50, 300, grid.shape_zyx).astype(np.int16)
    if tumor:
        array[2:6, 5:11, 6:13] = 900
    return Volume(array, grid)


def study(*names: str, identity: str = "one", **volumes: Volume) -> Study:
    sequences = [
        StudySequence(name, volumes.get(name, image(number))) for number, name in enumerate(names)
    ]
    return Study(identity, "the study", lambda: sequences)


def run(studies: list[Study], output: Path, *models: Threshold, **options: bool) -> BatchOutcome:
    chosen = choose_models(models or [Threshold("MRI")])
    return segment_studies(studies, chosen, output, UNREGISTERED, **options)
