"""How an image was acquired, as far as its header says."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset

from nnunet_pst.dicom.reading.b_values import BValue, b_value
from nnunet_pst.dicom.reading.directions import direction_of
from nnunet_pst.dicom.reading.frame_groups import FrameGroups
from nnunet_pst.dicom.reading.values import integer, items, number, private_value, text, texts

_NO_CONTRAST = {"", "NO", "NONE", "N", "0", "N/A", "NA", "UNKNOWN"}
#: GE's (0043,102F) by its number; other makers name the part in ImageType (PS3.3 C.8.13.3.1.1).
_GE_COMPONENTS = ("MAGNITUDE", "PHASE", "REAL", "IMAGINARY")


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
    component
        MAGNITUDE, PHASE, REAL, IMAGINARY or MIXED; empty where nothing says so.
    technique
        VolumeBasedCalculationTechnique: how it was made from a volume; empty where it wasn't.
    derivation
        DerivationDescription and the meaning of its codes.
    direction
        See `nnunet_pst.dicom.reading.directions.direction_of`.
    trigger_ms
        TriggerTime; of a frame the offset of its temporal position or its cardiac delay.
    content_time
        Date and time of the content, as ``time``.
    bolus_time
        ContrastBolusStartTime as text that sorts, without a date; or empty.
    administered
        ContrastBolusAgentAdministered of an enhanced file: YES, NO, or empty.
    quality
        ContentQualification.
    field_tesla
        MagneticFieldStrength.
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
    component: str = ""
    technique: str = ""
    derivation: str = ""
    direction: str = ""
    trigger_ms: float | None = None
    content_time: str = ""
    bolus_time: str = ""
    administered: str = ""
    quality: str = ""
    field_tesla: float | None = None


def acquisition_of(dataset: Dataset, groups: FrameGroups) -> Acquisition:
    """Read how an image, or a frame of an enhanced file, was acquired."""
    content = groups.item("FrameContentSequence")
    frame = groups.item("MRImageFrameTypeSequence")
    frame_type = texts(frame, "FrameType")
    phase = integer(content, "TemporalPositionIndex")
    acquired = integer(content, "FrameAcquisitionNumber")
    diffusion = groups.item("MRDiffusionSequence")
    b = b_value(dataset, diffusion)
    technique = _either(frame, dataset, "VolumeBasedCalculationTechnique")
    return Acquisition(
        image_type=tuple(t.upper() for t in frame_type or texts(dataset, "ImageType")),
        sequence_name=text(dataset, "SequenceName") or text(dataset, "PulseSequenceName"),
        scanning=_scanning(dataset),
        variant=tuple(t.upper() for t in texts(dataset, "SequenceVariant")),
        dimension=text(dataset, "MRAcquisitionType").upper(),
        repetition_ms=groups.number("MRTimingAndRelatedParametersSequence", "RepetitionTime"),
        echo_ms=groups.number("MREchoSequence", "EffectiveEchoTime", "EchoTime"),
        inversion_ms=_positive(
            groups.number("MRModifierSequence", "InversionTimes", "InversionTime")
        ),
        flip_degrees=groups.number("MRTimingAndRelatedParametersSequence", "FlipAngle"),
        echo=integer(dataset, "EchoNumbers"),
        b=b,
        phase=phase if phase is not None else integer(dataset, "TemporalPositionIdentifier"),
        number=acquired if acquired is not None else integer(dataset, "AcquisitionNumber"),
        time=_moment(dataset, content),
        agent=_agent(dataset),
        angio=text(dataset, "AngioFlag").upper(),
        component=_component(dataset, frame),
        technique="" if technique == "NONE" else technique,
        derivation=_derivation(dataset, groups),
        direction="" if b is None or b.value == 0 else direction_of(dataset, diffusion),
        trigger_ms=_trigger(dataset, groups),
        content_time=text(dataset, "ContentDate") + sortable_time(text(dataset, "ContentTime")),
        bolus_time=sortable_time(text(dataset, "ContrastBolusStartTime")),
        administered=text(
            groups.item("ContrastBolusUsageSequence"), "ContrastBolusAgentAdministered"
        ).upper(),
        quality=text(dataset, "ContentQualification").upper(),
        field_tesla=number(dataset, "MagneticFieldStrength"),
    )


def _either(frame: Dataset, dataset: Dataset, keyword: str) -> str:
    return (text(frame, keyword) or text(dataset, keyword)).upper()


def _moment(dataset: Dataset, content: Dataset) -> str:
    """Write when the image was acquired as text that sorts; empty where nothing says so."""
    moment = text(content, "FrameAcquisitionDateTime") or text(dataset, "AcquisitionDateTime")
    if not moment and text(dataset, "AcquisitionTime"):
        moment = text(dataset, "AcquisitionDate") + text(dataset, "AcquisitionTime")
    return moment[:8] + sortable_time(moment[8:]) if len(moment) > 8 else sortable_time(moment)


def _agent(dataset: Dataset) -> str:
    """Name the contrast agent; empty where the header names none."""
    agents = [text(dataset, "ContrastBolusAgent"), text(dataset, "ContrastBolusIngredient")]
    agents += [text(a, "CodeMeaning") for a in items(dataset, "ContrastBolusAgentSequence")]
    return next((a for a in agents if a.upper() not in _NO_CONTRAST), "")


def _component(dataset: Dataset, frame: Dataset) -> str:
    """Which part of the complex signal it shows."""
    named = _either(frame, dataset, "ComplexImageComponent")
    if named:
        return named
    values = private_value(dataset, "GEMS_PARM_01", 0x0043, 0x2F)
    kind = int(values[0]) if values else -1
    return _GE_COMPONENTS[kind] if 0 <= kind < len(_GE_COMPONENTS) else ""


def _derivation(dataset: Dataset, groups: FrameGroups) -> str:
    """Join the words about how it was derived from other images."""
    place = groups.item("DerivationImageSequence")
    codes = [text(code, "CodeMeaning") for code in items(place, "DerivationCodeSequence")]
    return " ".join(filter(None, (text(place, "DerivationDescription"), *codes)))


def _trigger(dataset: Dataset, groups: FrameGroups) -> float | None:
    """Return the time since a trigger or since the first phase, in milliseconds."""
    value = number(dataset, "TriggerTime")
    if value is None:
        cardiac = groups.item("CardiacSynchronizationSequence")
        value = number(cardiac, "NominalCardiacTriggerDelayTime")
    if value is None:
        value = number(groups.item("TemporalPositionSequence"), "TemporalPositionTimeOffset")
    return value


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
