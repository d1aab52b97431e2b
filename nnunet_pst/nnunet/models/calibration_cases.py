"""Validation cases, measured one by one; what a killed calibration has measured is kept.

The draft holds measurements alone, under digests of all that decides them: no patient, no case.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nnunet_pst import __version__
from nnunet_pst.calibration.fitting import CalibrationCase
from nnunet_pst.calibration.learning import CalibratedCase, Measured
from nnunet_pst.calibration.reliability import count_voxels
from nnunet_pst.calibration.signs import Signs
from nnunet_pst.errors import Fault, InputError, Problem, few_of_each_kind
from nnunet_pst.evaluation.case_scoring import strange_values
from nnunet_pst.evaluation.metrics.overlap import confusion, dice
from nnunet_pst.evaluation.references import ReferenceCase, References
from nnunet_pst.io.digests import file_digest
from nnunet_pst.io.geometry import same_grid
from nnunet_pst.io.label_values import LabelValues
from nnunet_pst.io.volumes import Volume, read_header, read_image, read_voxels
from nnunet_pst.labels import IGNORE, TUMOR
from nnunet_pst.nnunet.models.files import CHECKPOINT
from nnunet_pst.nnunet.models.prediction import LoadedModel, load_model


def check_labels(cases: Sequence[ReferenceCase], labels: LabelValues) -> None:
    """Refuse labels of other values or on other grids, before hours of work.

    Raises
    ------
    InputError
        With a line for each kind of fault.
    """
    problems = []
    for case in cases:
        assert case.image is not None
        label = read_voxels(case.label)
        strange = strange_values(label.array, labels.reference_values)
        if strange:
            allowed = ", ".join(map(str, labels.reference_values))
            text = f"{case.label.name} holds the values {strange}; expected {allowed}"
            problems.append((case.name, Problem(text, Fault.VALUES)))
        if not same_grid(label.grid, read_header(case.image)):
            text = (
                f"{case.label.name} lies on another grid than its image; give the label that was "
                "drawn on it"
            )
            problems.append((case.name, Problem(text, Fault.GEOMETRY)))
    if problems:
        raise InputError(few_of_each_kind(problems))


@dataclass(frozen=True)
class FoldMeasuring:
    """A fold's network, loaded when the first case needs it.

    Attributes
    ----------
    folder
        Of the model.
    number
        Of the fold.
    """

    folder: Path
    number: int
    references: References
    mirroring: bool
    engine: str
    device: str | None

    @cached_property
    def model(self) -> LoadedModel:
        """The network of this fold alone."""
        return load_model(
            self.folder,
            device=self.device,
            engine=self.engine,
            mirroring=self.mirroring,
            folds=(self.number,),
            calibrated=False,  # an earlier one may be damaged or of another version
        )

    @cached_property
    def _decisive(self) -> list[str]:
        """What decides a measurement besides the case."""
        names = (f"fold_{self.number}/{CHECKPOINT}", "plans.json")
        labels = self.references.labels
        return [
            *(file_digest(self.folder / name) for name in names),
            f"{__version__} {self.mirroring} {self.engine} {labels.reference_values}",
        ]

    def key(self, case: ReferenceCase) -> str:
        """Digest of all that decides the measurement of a case."""
        files = [file_digest(file) for file in (case.label, *self._images(case))]
        parts = [*self._decisive, case.name, *files]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _images(self, case: ReferenceCase) -> list[Path]:
        """Return the image files of a case, channel by channel."""
        assert case.image is not None
        pattern = f"{case.name}_[0-9][0-9][0-9][0-9]{self.references.file_ending}"
        return sorted(case.image.parent.glob(pattern))

    def measure(self, case: ReferenceCase) -> Measured:
        """Segment a case and compare its mask with its label."""
        label = read_voxels(case.label)
        files = self._images(case)
        channels = [read_image(files[0]), *(self._further_channel(file) for file in files[1:])]
        prediction = self.model.predict(channels, probability=True)
        assert prediction.probability is not None
        truth = self.references.labels.three_states(label.array)
        mask = prediction.labels > 0
        milliliters = label.grid.voxel_volume_ml
        whole = not (truth == IGNORE).any()
        return Measured(
            prediction.signs or Signs(0.0),
            dice(confusion(truth, mask.astype(np.uint8))),
            int(mask.sum()) * milliliters,
            int((truth == TUMOR).sum()) * milliliters if whole else None,
            bool((truth == TUMOR).any()),
            count_voxels(prediction.probability, truth),
        )

    def _further_channel(self, file: Path) -> Volume:
        """Read a channel that a patient may lack: then it is zero everywhere."""
        if self.model.facts.serves_missing and not (volume := read_voxels(file)).array.any():
            return volume
        return read_image(file)


class Draft:
    """Measurements that are finished, a line each; the file grows with every case."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._known = dict(_entries(file))

    def measured(self, case: ReferenceCase, measuring: FoldMeasuring) -> CalibratedCase:
        """Return a case's measurement, from the draft where it is there."""
        key = measuring.key(case)
        if key not in self._known:
            found = measuring.measure(case)
            # A line that a kill has torn ends here.
            line = "\n" + json.dumps({"key": key, "measured": found.as_json()})
            with self.file.open("a", encoding="utf-8") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            self._known[key] = found
        found = self._known[key]
        name = case.sequence  # empty where no table tells it
        return CalibratedCase(
            CalibrationCase(
                case.patient,
                name,
                found.signs,
                found.dice,
                found.predicted_ml,
                found.reference_ml,
            ),
            found.has_tumor,
            found.voxels,
        )


def _entries(file: Path) -> list[tuple[str, Measured]]:
    """Read the lines that are whole."""
    if not file.is_file():
        return []
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    return [entry for line in lines if (entry := _entry(line)) is not None]


def _entry(line: str) -> tuple[str, Measured] | None:
    try:
        content: dict[str, Any] = json.loads(line)
        return str(content["key"]), Measured.from_json(content["measured"])
    except (ValueError, KeyError, TypeError, IndexError):
        return None
