"""New studies through trained models, in one call: what `nnunet_pst segment` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.io.real_paths import real_path
from nnunet_pst.nnunet.models.prediction import load_model
from nnunet_pst.registration.policy import require_engine
from nnunet_pst.segmentation.batch import BatchOutcome, segment_studies
from nnunet_pst.segmentation.dicom_studies import studies_of_dicom
from nnunet_pst.segmentation.model_interface import ModelChoice, choose_models
from nnunet_pst.segmentation.registration_choice import choose_registration
from nnunet_pst.segmentation.study import SegmentationSettings
from nnunet_pst.segmentation.study_input import Study, study_of_files


@dataclass(frozen=True)
class ModelSettings:
    """How models are loaded and computed.

    Attributes
    ----------
    device
        ``cpu`` or ``cuda``; None: ``cuda`` where there is one and the engine is torch, else
        ``cpu``.
    engine
        ``torch``, ``openvino`` or ``openvino-bf16``; the last two are for our own networks.
    mirroring
        Average over mirrored images, as nnU-Net does.
    trusted
        Load checkpoints that could run code.
    """

    device: str | None = None
    engine: str = "torch"
    mirroring: bool = True
    trusted: bool = False


def segment(
    studies: str | Path | Sequence[str | Path],
    models: str | Path | Sequence[str | Path],
    output: str | Path,
    settings: SegmentationSettings | None = None,
    model_settings: ModelSettings | None = None,
    *,
    overwrite: bool = False,
) -> BatchOutcome:
    """Segment studies in turn; a study that fails doesn't stop the others.

    Parameters
    ----------
    studies
        Folders or zip archives of DICOM, each with one study, many, or a part of one; or the files
        of one study, each with its sequence, such as ``T2=t2.nii.gz``.
    models
        Folders or zip archives of trained models, at most one for single sequences and one for a
        fusion of the same channels.
    output
        Gets a folder a study: masks, pictures, ``report.html``, ``report.json``, and for DICOM
        input SEG and RTSTRUCT. It must be outside the input.
    settings
        Consensus and registration; without settings of a registration, those of the fusion model's
        training data.
    model_settings
        Device, engine, mirroring, trust.
    overwrite
        Segment studies again that are finished in ``output``.

    Raises
    ------
    InputError
        Nothing can be read, a model does not fit, or ``output`` is inside the input.
    HostError
        A library or a device that the settings name is missing.

    Examples
    --------
    >>> import nnunet_pst
    >>> outcome = nnunet_pst.segment("T2=study/t2.nii.gz", "model", "masks")
    >>> report = next(iter(outcome.finished.values()))
    >>> [result["name"] for result in report["results"]]
    ['T2']
    """
    settings, output = settings or SegmentationSettings(), Path(output)
    words = [str(word) for word in ([studies] if isinstance(studies, str | Path) else studies)]
    found, notes, unread = find_studies(words)
    _check_apart(words, output)
    paths = [models] if isinstance(models, str | Path) else models
    loaded = load_models([Path(path) for path in paths], model_settings or ModelSettings())
    if loaded.fusion is not None or settings.consensus:
        require_engine(choose_registration(settings.registration, loaded).settings)
    outcome = segment_studies(found, loaded, output, settings, overwrite=overwrite)
    outcome.notes[:0] = notes
    outcome.unread.extend(unread)
    return outcome


def load_models(paths: Sequence[Path], settings: ModelSettings) -> ModelChoice:
    """Load one model for single sequences, one for a fusion, or both.

    Raises
    ------
    InputError, HostError
        As for `load_model` and `choose_models`.
    """
    return choose_models(
        [
            load_model(
                path,
                device=settings.device,
                engine=settings.engine,
                mirroring=settings.mirroring,
                trusted=settings.trusted,
            )
            for path in paths
        ]
    )


def find_studies(words: Sequence[str]) -> tuple[list[Study], list[str], list[Problem]]:
    """Return the studies of sequence files or of DICOM.

    Returns
    -------
    tuple
        The studies, notes on what belongs to none of them or must be copied again, and a problem
        for each unreadable file.

    Raises
    ------
    InputError
        Files and folders are mixed, or as for `study_of_files` and `studies_of_dicom`.
    """
    pairs = [word for word in words if "=" in word and not Path(word).exists()]
    if pairs and len(pairs) < len(words):
        other = next(word for word in words if word not in pairs)
        raise InputError(
            f"{other}: give either folders and archives, or SEQUENCE=FILE pairs",
            Fault.CONTRADICTION,
        )
    if pairs:
        return [study_of_files(pairs)], [], []
    return studies_of_dicom([Path(word) for word in words])


def _check_apart(words: Sequence[str], output: Path) -> None:
    """Refuse to write into an input folder: the next run would read its own results."""
    place = real_path(output)
    for word in words:
        if Path(word).is_dir() and place.is_relative_to(real_path(Path(word))):
            raise InputError(
                f"{output}: is inside {word}, which is read; choose a folder outside",
                Fault.CONTRADICTION,
            )
