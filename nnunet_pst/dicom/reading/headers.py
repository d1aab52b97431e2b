"""What the header of a DICOM file says: whose, which series, and where each of its images lies."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import pydicom
from pydicom.dataset import Dataset, FileDataset
from pydicom.filereader import read_dataset as read_elements
from pydicom.tag import BaseTag

from nnunet_pst.dicom.reading.b_values import BValue, b_value
from nnunet_pst.dicom.reading.files import Origin, looks_like_dicom, printable
from nnunet_pst.dicom.reading.pixel_lengths import pixel_fault
from nnunet_pst.dicom.reading.values import integer, item, items, number, numbers, text, texts
from nnunet_pst.errors import InputError

RTSTRUCT, SEG = "RTSTRUCT", "SEG"
#: Manufacturer of what `nnunet_pst segment` writes.
MAKER = "nnunet_pst"
#: Inflated without a limit by every reader, so it could be a bomb; nobody sends MR that way.
_DEFLATED = "1.2.840.10008.1.2.1.99"
#: Frames of one file; a dynamic study of some 70 phases has some thousands.
MAX_FRAMES = 20_000
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


@dataclass(frozen=True)
class Slice:
    """One image: a file, or a frame of one.

    Parameters
    ----------
    origin
        The file.
    frame
        0-based frame of a multi-frame file; None for a file of one image.
    sop_uid
        SOPInstanceUID.
    instance
        InstanceNumber, or the frame's.
    rows, columns
        Matrix.
    position_lps_mm
        Center of the first pixel, or None.
    orientation
        Unit vectors along a row and along a column, or None.
    pixel_spacing_mm
        Distance between rows, between columns; or None.
    acquisition
        How it was acquired.
    fault
        What is missing of the file's pixels; empty when nothing is.
    """

    origin: Origin
    frame: int | None
    sop_uid: str
    instance: int
    rows: int
    columns: int
    position_lps_mm: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    pixel_spacing_mm: tuple[float, ...] | None
    acquisition: Acquisition
    fault: str = ""


@dataclass(frozen=True)
class Instance:
    """A file: what it belongs to, and its images.

    Parameters
    ----------
    patient, study, series, frame_of_reference
        Identifiers as the header has them; private.
    sop_class, sop_uid, modality
        What it is.
    number
        SeriesNumber.
    description, protocol
        SeriesDescription, ProtocolName.
    series_time
        Date and time of the series, as text that sorts.
    slices
        Its images; none for structures and segmentations.
    references
        SeriesInstanceUIDs that structures or segments were drawn on.
    structures
        Names of structures or segments.
    made_here
        Whether `nnunet_pst segment` wrote it.
    """

    origin: Origin
    patient: str
    study: str
    series: str
    frame_of_reference: str
    sop_class: str
    sop_uid: str
    modality: str
    number: int | None
    description: str
    protocol: str
    series_time: str
    slices: tuple[Slice, ...] = ()
    references: tuple[str, ...] = ()
    structures: tuple[str, ...] = ()
    made_here: bool = False


@contextmanager
def translated(origin: Origin) -> Iterator[None]:
    """Turn whatever pydicom raises over a stranger's bytes into one line about the file.

    Raises
    ------
    InputError
        Instead of any other exception.
    """
    try:
        with warnings.catch_warnings():
            # Deviations from the standard are the rule, and harmless; what matters is checked.
            warnings.simplefilter("ignore")
            yield
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{printable(origin.name)}: not enough memory to read it") from error
    except Exception as error:
        # pydicom raises what the bytes lead it to: EOFError, KeyError, struct.error, ...
        raise InputError(
            f"{printable(origin.name)}: can't be read as DICOM (truncated or damaged?); "
            "copy it again"
        ) from error


def read_dataset(origin: Origin, *, pixels: bool) -> FileDataset:
    """Read the elements of a file, with or without its pixels.

    Raises
    ------
    InputError
        When it is no DICOM file, or damaged.
    """
    with translated(origin), origin.open() as file:
        return _read(file, origin, pixels=pixels)


def _read(file: BinaryIO, origin: Origin, *, pixels: bool) -> FileDataset:
    _refuse_deflated(file, origin)
    file.seek(0)
    return pydicom.dcmread(file, stop_before_pixels=not pixels, force=True)


def _refuse_deflated(file: BinaryIO, origin: Origin) -> None:
    head = file.read(132)
    if not looks_like_dicom(head):
        raise InputError(f"{printable(origin.name)}: no DICOM file")
    if head[128:] != b"DICM":
        return

    def past_meta(tag: BaseTag, vr: str | None, length: int) -> bool:
        return tag.group != 2

    meta = read_elements(file, False, True, stop_when=past_meta)
    if text(meta, "TransferSyntaxUID") == _DEFLATED:
        raise InputError(
            f"{printable(origin.name)}: is deflated, which is not read; convert it with dcmconv +te"
        )


def read_instance(origin: Origin) -> Instance:
    """Read the header of a file.

    Raises
    ------
    InputError
        When it can't be read, or lacks what tells which series it belongs to.
    """
    with translated(origin), origin.open() as file:
        dataset = _read(file, origin, pixels=False)
        if not text(dataset, "SeriesInstanceUID") or not text(dataset, "SOPInstanceUID"):
            raise InputError(
                f"{printable(origin.name)}: belongs to no series (a DICOMDIR, or damaged)"
            )
        return _instance(origin, dataset, pixel_fault(file, dataset))


def _instance(origin: Origin, dataset: Dataset, fault: str) -> Instance:
    modality = text(dataset, "Modality").upper()
    return Instance(
        origin=origin,
        patient=text(dataset, "PatientID"),
        study=text(dataset, "StudyInstanceUID"),
        series=text(dataset, "SeriesInstanceUID"),
        frame_of_reference=text(dataset, "FrameOfReferenceUID"),
        sop_class=text(dataset, "SOPClassUID"),
        sop_uid=text(dataset, "SOPInstanceUID"),
        modality=modality,
        number=integer(dataset, "SeriesNumber"),
        description=text(dataset, "SeriesDescription"),
        protocol=text(dataset, "ProtocolName"),
        series_time=text(dataset, "SeriesDate") + _time(text(dataset, "SeriesTime")),
        slices=() if modality in (RTSTRUCT, SEG) else tuple(_slices(origin, dataset, fault)),
        references=_references(dataset, modality),
        structures=_structures(dataset, modality),
        made_here=text(dataset, "Manufacturer") == MAKER,
    )


def _time(value: str) -> str:
    """HHMMSS.FFFFFF of full length, so that it sorts as text."""
    whole, _, fraction = value.replace(":", "").partition(".")
    return f"{whole:0<6}.{fraction:0<6}" if whole else ""


def _references(dataset: Dataset, modality: str) -> tuple[str, ...]:
    """SeriesInstanceUIDs that structures or segments refer to."""
    found = []
    if modality == RTSTRUCT:
        for frame in items(dataset, "ReferencedFrameOfReferenceSequence"):
            for study in items(frame, "RTReferencedStudySequence"):
                found += items(study, "RTReferencedSeriesSequence")
    elif modality == SEG:
        found = items(dataset, "ReferencedSeriesSequence")
    return tuple(dict.fromkeys(uid for f in found if (uid := text(f, "SeriesInstanceUID"))))


def _structures(dataset: Dataset, modality: str) -> tuple[str, ...]:
    if modality == RTSTRUCT:
        return tuple(text(roi, "ROIName") for roi in items(dataset, "StructureSetROISequence"))
    if modality == SEG:
        # Number 0 is the background of a label map.
        parts = [p for p in items(dataset, "SegmentSequence") if integer(p, "SegmentNumber") != 0]
        return tuple(text(part, "SegmentLabel") for part in parts)
    return ()


def _slices(origin: Origin, dataset: Dataset, fault: str) -> Iterator[Slice]:
    """Give the images of a file: one, or the frames of an enhanced one."""
    rows, columns = integer(dataset, "Rows") or 0, integer(dataset, "Columns") or 0
    if rows < 1 or columns < 1:
        return
    frames = items(dataset, "PerFrameFunctionalGroupsSequence")
    count = integer(dataset, "NumberOfFrames") or 1
    if count > MAX_FRAMES or len(frames) > MAX_FRAMES:
        raise InputError(f"{printable(origin.name)}: claims {count} frames; is it damaged?")
    shared = item(dataset, "SharedFunctionalGroupsSequence")
    if frames and len(frames) != count:
        raise InputError(
            f"{printable(origin.name)}: describes {len(frames)} frames but holds {count}"
        )
    places = enumerate(frames) if frames else [(None if count == 1 else 0, None)]
    for index, frame in places:
        groups = _Groups(dataset, shared, frame)
        instance = integer(dataset, "InstanceNumber") or 0
        yield Slice(
            origin=origin,
            frame=index,
            sop_uid=text(dataset, "SOPInstanceUID"),
            instance=instance if index is None else index + 1,
            rows=rows,
            columns=columns,
            position_lps_mm=groups.numbers("PlanePositionSequence", "ImagePositionPatient", 3),
            orientation=groups.numbers("PlaneOrientationSequence", "ImageOrientationPatient", 6),
            pixel_spacing_mm=groups.numbers("PixelMeasuresSequence", "PixelSpacing", 2),
            acquisition=_acquisition(dataset, groups),
            fault=fault,
        )


class _Groups:
    """Looks an element up in a frame's functional groups, the shared ones, then the data set."""

    def __init__(self, dataset: Dataset, shared: Dataset, frame: Dataset | None) -> None:
        self._places = [dataset] if frame is None else [frame, shared]
        self._dataset = dataset
        self._enhanced = frame is not None

    def item(self, sequence: str) -> Dataset:
        """Return the item that holds what an enhanced file keeps in this functional group."""
        if not self._enhanced:
            return self._dataset
        found = (item(place, sequence) for place in self._places)
        return next((place for place in found if len(place)), self._dataset)

    def numbers(self, sequence: str, keyword: str, count: int) -> tuple[float, ...] | None:
        return numbers(self.item(sequence), keyword, count)

    def number(self, sequence: str, *keywords: str) -> float | None:
        place = self.item(sequence)
        found = (number(where, k) for where in (place, self._dataset) for k in keywords)
        return next((value for value in found if value is not None), None)


def _acquisition(dataset: Dataset, groups: _Groups) -> Acquisition:
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
        time=moment[:8] + _time(moment[8:]) if len(moment) > 8 else _time(moment),
        agent=next((a for a in agents if a.upper() not in _NO_CONTRAST), ""),
        angio=text(dataset, "AngioFlag").upper(),
    )


def _positive(value: float | None) -> float | None:
    """Return an inversion time; scanners write 0 for none."""
    return value if value else None


def _scanning(dataset: Dataset) -> tuple[str, ...]:
    """ScanningSequence, or what an enhanced file says in other words."""
    found = tuple(t.upper() for t in texts(dataset, "ScanningSequence"))
    if found:
        return found
    words = {"SPIN": "SE", "GRADIENT": "GR", "BOTH": "SE"}
    kind = words.get(text(dataset, "EchoPulseSequence").upper())
    planar = text(dataset, "EchoPlanarPulseSequence").upper() == "YES"
    inverted = text(dataset, "InversionRecovery").upper() == "YES"
    parts = ["EP" if planar else None, kind, "IR" if inverted else None]
    return tuple(part for part in parts if part)
