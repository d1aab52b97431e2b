"""The header of a DICOM file: patient, series, and the place of each of its images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.dataset import Dataset

from nnunet_pst.dicom.reading.acquisition import Acquisition, acquisition_of, sortable_time
from nnunet_pst.dicom.reading.datasets import opened, read_open_file, translated
from nnunet_pst.dicom.reading.files import Origin
from nnunet_pst.dicom.reading.frame_groups import FrameGroups
from nnunet_pst.dicom.reading.pixel_lengths import pixel_problem
from nnunet_pst.dicom.reading.values import integer, item, items, text
from nnunet_pst.dicom.reading.vendors import PROTOCOL_IS_OF_SERIES, Vendor, vendor_of
from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.io.wording import printable

RTSTRUCT, SEG = "RTSTRUCT", "SEG"
#: Manufacturer in the objects that `nnunet_pst segment` writes.
MAKER = "nnunet_pst"
#: Frames of one file; a dynamic study of some 70 phases has some thousands.
MAX_FRAMES = 20_000
#: Code of what a segment shows that is background (PS3.16, CID 7150 and label maps).
_BACKGROUND = ("125040", "DCM")
#: Types of contours that enclose an area. CLOSEDPLANAR_XOR is the standard's spelling.
CLOSED_XOR = "CLOSEDPLANAR_XOR"
CLOSED_TYPES = ("CLOSED_PLANAR", CLOSED_XOR)


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
    pixel_problem
        What is missing of the file's pixels; None where they are complete.
    sop_class
        SOPClassUID.
    samples
        Values of a pixel: 3 in a color image.
    description
        SeriesDescription of its file: series that share a UID may have several.
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
    pixel_problem: Problem | None = None
    sop_class: str = ""
    samples: int = 1
    description: str = ""


@dataclass(frozen=True)
class Instance:
    """A file: what it belongs to, and its images.

    Parameters
    ----------
    patient, study, series, frame_of_reference
        Identifiers as the header has them; private.
    sop_class, sop_uid, modality
        SOPClassUID, SOPInstanceUID, Modality.
    number
        SeriesNumber.
    vendor
        Maker of the scanner.
    patient_name, birth_date
        As the header has them; private.
    description, protocol
        SeriesDescription; ProtocolName where its maker describes the series by it, else empty
        (`nnunet_pst.dicom.reading.vendors.PROTOCOL_IS_OF_SERIES`).
    series_time
        Date and time of the series, as text that sorts.
    slices
        Its images; none for structures and segmentations.
    references
        SeriesInstanceUIDs that structures or segments were drawn on.
    structures
        Names of structures or segments.
    drawn
        For each of ``structures`` whether it has a contour that can be filled; True of segments.
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
    drawn: tuple[bool, ...] = ()
    made_here: bool = False
    vendor: Vendor = Vendor.OTHER
    patient_name: str = ""
    birth_date: str = ""


def read_instance(origin: Origin) -> Instance:
    """Read the header of a file.

    Raises
    ------
    InputError
        When it can't be read, or doesn't say to which series it belongs.
    """
    with translated(origin), opened(origin) as file:
        dataset = read_open_file(file, origin, pixels=False)
        if not text(dataset, "SeriesInstanceUID") or not text(dataset, "SOPInstanceUID"):
            raise InputError(
                f"{printable(origin.name)}: belongs to no series (a DICOMDIR, or damaged)",
                Fault.MISSING,
            )
        return _instance(origin, dataset, pixel_problem(file, dataset))


def _instance(origin: Origin, dataset: Dataset, problem: Problem | None) -> Instance:
    modality = text(dataset, "Modality").upper()
    vendor = vendor_of(text(dataset, "Manufacturer"))
    structures = _structures(dataset, modality)
    return Instance(
        origin=origin,
        patient=text(dataset, "PatientID"),
        study=text(dataset, "StudyInstanceUID"),
        series=text(dataset, "SeriesInstanceUID"),
        frame_of_reference=_frame_of_reference(dataset, modality),
        sop_class=text(dataset, "SOPClassUID"),
        sop_uid=text(dataset, "SOPInstanceUID"),
        modality=modality,
        number=integer(dataset, "SeriesNumber"),
        description=text(dataset, "SeriesDescription"),
        protocol=text(dataset, "ProtocolName") if vendor in PROTOCOL_IS_OF_SERIES else "",
        series_time=text(dataset, "SeriesDate") + sortable_time(text(dataset, "SeriesTime")),
        slices=() if modality in (RTSTRUCT, SEG) else tuple(_slices(origin, dataset, problem)),
        references=_references(dataset, modality),
        structures=structures,
        drawn=_drawn(dataset) if modality == RTSTRUCT else (True,) * len(structures),
        made_here=text(dataset, "Manufacturer") == MAKER,
        vendor=vendor,
        patient_name=text(dataset, "PatientName"),
        birth_date=text(dataset, "PatientBirthDate"),
    )


def _frame_of_reference(dataset: Dataset, modality: str) -> str:
    """FrameOfReferenceUID; of structures the one that their images are in."""
    if modality == RTSTRUCT:
        referenced = items(dataset, "ReferencedFrameOfReferenceSequence")
        regions = items(dataset, "StructureSetROISequence")
        uids = [text(frame, "FrameOfReferenceUID") for frame in referenced]
        uids += [text(region, "ReferencedFrameOfReferenceUID") for region in regions]
        return next(filter(None, uids), "") or text(dataset, "FrameOfReferenceUID")
    return text(dataset, "FrameOfReferenceUID")


def _drawn(dataset: Dataset) -> tuple[bool, ...]:
    """Say for each structure whether it has a closed contour of at least three points."""
    numbers = {
        integer(structure, "ReferencedROINumber")
        for structure in items(dataset, "ROIContourSequence")
        if any(map(can_be_filled, items(structure, "ContourSequence")))
    }
    structures = items(dataset, "StructureSetROISequence")
    return tuple(integer(structure, "ROINumber") in numbers for structure in structures)


def can_be_filled(contour: Dataset) -> bool:
    """Whether a contour is closed and has three points (PS3.3 C.8.8.6.3)."""
    closed = text(contour, "ContourGeometricType").upper() in CLOSED_TYPES
    return closed and (integer(contour, "NumberOfContourPoints") or 3) >= 3


def _references(dataset: Dataset, modality: str) -> tuple[str, ...]:
    """SeriesInstanceUIDs that structures or segments refer to."""
    series = []
    if modality == RTSTRUCT:
        for frame in items(dataset, "ReferencedFrameOfReferenceSequence"):
            for study in items(frame, "RTReferencedStudySequence"):
                series += items(study, "RTReferencedSeriesSequence")
    elif modality == SEG:
        series = items(dataset, "ReferencedSeriesSequence")
    return tuple(dict.fromkeys(uid for one in series if (uid := text(one, "SeriesInstanceUID"))))


def _structures(dataset: Dataset, modality: str) -> tuple[str, ...]:
    if modality == RTSTRUCT:
        return tuple(text(roi, "ROIName") for roi in items(dataset, "StructureSetROISequence"))
    if modality == SEG:
        return tuple(text(segment, "SegmentLabel") for segment in described_segments(dataset))
    return ()


def described_segments(dataset: Dataset) -> list[Dataset]:
    """Return the segments of a SEG without the background of a label map.

    Its number is PixelPaddingValue, or 0 where there is none (PS3.3 C.8.20.2); segments that are
    coded as background are left out too.
    """
    segments = items(dataset, "SegmentSequence")
    padding = integer(dataset, "PixelPaddingValue")
    labelmap = text(dataset, "SegmentationType").upper() == "LABELMAP"
    background = padding if labelmap and padding is not None else 0
    return [
        segment
        for segment in segments
        if integer(segment, "SegmentNumber") != background and not _is_background(segment)
    ]


def _is_background(segment: Dataset) -> bool:
    code = item(segment, "SegmentedPropertyTypeCodeSequence")
    return (text(code, "CodeValue"), text(code, "CodingSchemeDesignator")) == _BACKGROUND


def _slices(origin: Origin, dataset: Dataset, problem: Problem | None) -> Iterator[Slice]:
    """Yield the images of a file: one, or the frames of an enhanced file."""
    rows, columns = integer(dataset, "Rows") or 0, integer(dataset, "Columns") or 0
    if rows < 1 or columns < 1:
        return
    frames = items(dataset, "PerFrameFunctionalGroupsSequence")
    count = integer(dataset, "NumberOfFrames") or 1
    if count > MAX_FRAMES or len(frames) > MAX_FRAMES:
        raise InputError(
            f"{printable(origin.name)}: claims {count} frames; is it damaged?", Fault.TOO_LARGE
        )
    shared = item(dataset, "SharedFunctionalGroupsSequence")
    if frames and len(frames) != count:
        raise InputError(
            f"{printable(origin.name)}: describes {len(frames)} frames but holds {count}",
            Fault.DAMAGED,
        )
    description = text(dataset, "SeriesDescription")
    storage, samples = text(dataset, "SOPClassUID"), integer(dataset, "SamplesPerPixel") or 1
    # Frames whose descriptions were removed have no place; they are counted all the same.
    undescribed = [(None, None)] if count == 1 else [(index, None) for index in range(count)]
    for index, frame in enumerate(frames) if frames else undescribed:
        groups = FrameGroups(dataset, shared, frame)
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
            acquisition=acquisition_of(dataset, groups),
            pixel_problem=problem,
            sop_class=storage,
            samples=samples,
            description=description,
        )
