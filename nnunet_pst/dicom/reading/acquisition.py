"""How an image was acquired, as far as its header says."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset

from nnunet_pst.dicom.reading.b_values import BValue, b_value
from nnunet_pst.dicom.reading.frame_groups import FrameGroups
from nnunet_pst.dicom.reading.values import integer, items, text, texts

_NO_CONTRAST = {"", "NO", "NONE", "N", "0", "N/A", "NA", "UNKNOWN"}


@dataclass(frozen=True)
class Acquisition:
    """How an image was acquired, as far as its header says.

    Parameters
    ----------
    image_type
        Values of ImageType (of an enhanced frame FrameType), upper case.
    sequence_name, scanning, variant, dimension
        SequenceName, ScanningSequence, SequenceVariant, MRAcquisitionType.
    repetition_ms, echo_ms, inversion_ms, flip_degrees
        TR, TE, TI, flip angle.
    echo
        Number of the echo.
    b
        b-value, or None.
    phase
        TemporalPositionIdentifier (of a frame its index).
    number
        AcquisitionNumber.
    time
        Date and time of the acquisition as text that sorts, or empty.
    agent
        Contrast agent as the header names it, or empty.
    angio
        AngioFlag.
    """

    image_type: tuple[str, ...] = ()
    sequence_name: str = ""
    scanning: tuple[str, ...] = ()
    variant: tuple[str, ...] = ()
    dimension: str = ""
    repetition_ms: float | None = None
    echo_ms: float | None = None
    inversion_ms: float | None = None
    flip_degrees: float | None = None
    echo: int | None = None
    b: BValue | None = None
    phase: int | None = None
    number: int | None = None
    time: str = ""
    agent: str = ""
    angio: str = ""


def acquisition_of(dataset: Dataset, groups: FrameGroups) -> Acquisition:
    """Read how an image, or a frame of an enhanced file, was acquired."""
    content = groups.item("FrameContentSequence")
    frame_type = texts(groups.item("MRImageFrameTypeSequence"), "FrameType")
    agents = [text(dataset, "ContrastBolusAgent"), text(dataset, "ContrastBolusIngredient")]
    agents += [text(a, "CodeMeaning") for a in items(dataset, "ContrastBolusAgentSequence")]
    day = text(dataset, "AcquisitionDate")
    moment = text(content, "FrameAcquisitionDateTime") or text(dataset, "AcquisitionDateTime")
    if not moment and text(dataset, "AcquisitionTime"):
        moment = day + text(dataset, "AcquisitionTime")
    phase = integer(content, "TemporalPositionIndex")
    acquired = integer(content, "FrameAcquisitionNumber")
    echo_ms = groups.number("MREchoSequence", "EffectiveEchoTime", "EchoTime")
    return Acquisition(
        image_type=tuple(t.upper() for t in frame_type or texts(dataset, "ImageType")),
        sequence_name=text(dataset, "SequenceName") or text(dataset, "PulseSequenceName"),
        scanning=_scanning(dataset),
        variant=tuple(t.upper() for t in texts(dataset, "SequenceVariant")),
        dimension=text(dataset, "MRAcquisitionType").upper(),
        repetition_ms=groups.number("MRTimingAndRelatedParametersSequence", "RepetitionTime"),
        echo_ms=echo_ms,
        inversion_ms=_positive(
            groups.number("MRModifierSequence", "InversionTimes", "InversionTime")
        ),
        flip_degrees=groups.number("MRTimingAndRelatedParametersSequence", "FlipAngle"),
        echo=integer(dataset, "EchoNumbers"),
        b=b_value(dataset, groups.item("MRDiffusionSequence")),
        phase=phase if phase is not None else integer(dataset, "TemporalPositionIdentifier"),
        number=acquired if acquired is not None else integer(dataset, "AcquisitionNumber"),
        time=moment[:8] + sortable_time(moment[8:]) if len(moment) > 8 else sortable_time(moment),
        agent=next((a for a in agents if a.upper() not in _NO_CONTRAST), ""),
        angio=text(dataset, "AngioFlag").upper(),
    )


def _positive(value: float | None) -> float | None:
    """Return an inversion time; scanners write 0 where there is none."""
    return value if value else None


def _scanning(dataset: Dataset) -> tuple[str, ...]:
    """ScanningSequence, or the same from the other elements of an enhanced file."""
    scanning = tuple(t.upper() for t in texts(dataset, "ScanningSequence"))
    if scanning:
        return scanning
    words = {"SPIN": "SE", "GRADIENT": "GR", "BOTH": "SE"}
    kind = words.get(text(dataset, "EchoPulseSequence").upper())
    planar = text(dataset, "EchoPlanarPulseSequence").upper() == "YES"
    inverted = text(dataset, "InversionRecovery").upper() == "YES"
    parts = ["EP" if planar else None, kind, "IR" if inverted else None]
    return tuple(part for part in parts if part)


def sortable_time(value: str) -> str:
    """Write a time as HHMMSS.FFFFFF of full length, so that it sorts as text."""
    whole, _, fraction = value.replace(":", "").partition(".")
    return f"{whole:0<6}.{fraction:0<6}" if whole else ""
