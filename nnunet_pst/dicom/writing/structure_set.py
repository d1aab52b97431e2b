"""A mask as an RT Structure Set: outlines in patient coordinates, right on any plane.

The contours are the mask's outlines along the edges of its pixels (`nnunet_pst.io.mask_outlines`),
placed by the grid's affine, so that no spacings can be swapped and no axis is assumed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    ImplicitVRLittleEndian,
    RTStructureSetStorage,
    generate_uid,
)

from nnunet_pst import __version__
from nnunet_pst.dicom.reading.headers import MAKER
from nnunet_pst.dicom.writing.segmentation_object import (
    SERIES_OFFSET,
    TUMOR_CLASS,
    found_classes,
)
from nnunet_pst.dicom.writing.source_images import (
    RESEARCH_ONLY,
    DicomSource,
    deriving,
    study_attributes,
)
from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.mask_outlines import outline_points_lps_mm, outline_polygons
from nnunet_pst.io.viewer_labels import class_color

#: Retired, but the standard still prescribes it here (PS3.3 C.8.8.5).
_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"
#: Characters of a region's name (VR LO).
_LONGEST = 64
#: After the segmentation's series.
_SERIES_STEP = 500


def make_structure_set(
    source: DicomSource,
    labels: npt.NDArray[np.integer | np.bool_],
    grid: Grid,
    *,
    name: str,
    model_id: str,
    classes: Sequence[str] = (TUMOR_CLASS,),
) -> FileDataset:
    """Make a structure set with a region of interest for each class that has voxels.

    Parameters
    ----------
    source
        The images, in the order of the mask's slices.
    labels
        (z, y, x), not empty; 0 for background, else the value of a class.
    grid
        Grid of the labels.
    name, model_id, classes
        As for `nnunet_pst.dicom.writing.segmentation_object.make_segmentation`.

    Raises
    ------
    InputError
        As for a segmentation.
    """
    with deriving("a structure set"):
        made = _structure_set(source, name=name, model_id=model_id)
        found = found_classes(labels, classes)
        regions = list(enumerate(found.items(), start=1))
        made.StructureSetROISequence = [_region(source, n, label) for n, (_, label) in regions]
        made.ROIContourSequence = [
            _contours(source, labels == value, grid, number, class_color(value))
            for number, (value, _) in regions
        ]
        made.RTROIObservationsSequence = [_observation(n, label) for n, (_, label) in regions]
        return made


def _structure_set(source: DicomSource, *, name: str, model_id: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = RTStructureSetStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    # With explicit VRs the points of one contour can't exceed 64 kB, which is some 2500 corners.
    meta.TransferSyntaxUID = ImplicitVRLittleEndian
    made = FileDataset("", study_attributes(source), file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID = meta.MediaStorageSOPClassUID
    made.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    made.Modality = "RTSTRUCT"
    made.SeriesInstanceUID = generate_uid()
    made.SeriesNumber = SERIES_OFFSET + _SERIES_STEP + source.series_number
    made.SeriesDescription = f"{name} tumor outlines (research)"
    made.InstanceNumber = 1
    made.OperatorsName = ""
    made.Manufacturer = made.ManufacturerModelName = MAKER
    made.SoftwareVersions = __version__
    made.DeviceSerialNumber = model_id
    now = datetime.now()
    made.StructureSetLabel = "TUMOR"
    made.StructureSetDescription = RESEARCH_ONLY
    made.StructureSetDate = f"{now:%Y%m%d}"
    made.StructureSetTime = f"{now:%H%M%S}"
    made.FrameOfReferenceUID = source.first.FrameOfReferenceUID
    made.PositionReferenceIndicator = ""
    made.ApprovalStatus = "UNAPPROVED"
    made.ReferencedFrameOfReferenceSequence = [_referenced_frame(source)]
    return made


def _referenced_frame(source: DicomSource) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = source.first.SeriesInstanceUID
    series.ContourImageSequence = [_image_reference(*one) for one in source.references()]
    study = Dataset()
    study.ReferencedSOPClassUID = _STUDY_CLASS
    study.ReferencedSOPInstanceUID = source.first.StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame = Dataset()
    frame.FrameOfReferenceUID = source.first.FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    return frame


def _image_reference(header: Dataset, frame: int | None) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = header.SOPClassUID
    reference.ReferencedSOPInstanceUID = header.SOPInstanceUID
    if frame is not None:
        reference.ReferencedFrameNumber = frame
    return reference


def _region(source: DicomSource, number: int, label: str) -> Dataset:
    region = Dataset()
    region.ROINumber = number
    region.ReferencedFrameOfReferenceUID = source.first.FrameOfReferenceUID
    region.ROIName = label[:_LONGEST]
    region.ROIDescription = RESEARCH_ONLY
    region.ROIGenerationAlgorithm = "AUTOMATIC"
    return region


def _contours(
    source: DicomSource,
    mask: npt.NDArray[np.bool_],
    grid: Grid,
    number: int,
    color: tuple[int, int, int],
) -> Dataset:
    contours = Dataset()
    contours.ROIDisplayColor = list(color)
    contours.ReferencedROINumber = number
    contours.ContourSequence = list(_each_contour(source, mask, grid))
    return contours


def _each_contour(
    source: DicomSource, mask: npt.NDArray[np.bool_], grid: Grid
) -> Iterator[Dataset]:
    """Yield a contour for each part of each slice, with a reference to its image."""
    number = 0
    for index, reference in enumerate(source.references()):
        for polygon in outline_polygons(mask[index]):
            number += 1
            points = outline_points_lps_mm(polygon, index, grid)
            contour = Dataset()
            contour.ContourNumber = number
            contour.ContourImageSequence = [_image_reference(*reference)]
            contour.ContourGeometricType = "CLOSED_PLANAR"
            contour.NumberOfContourPoints = len(points)
            # A decimal string has at most 16 characters; this is a tenth of a micrometer.
            contour.ContourData = [f"{value:.4f}" for value in points.ravel()]
            yield contour


def _observation(number: int, label: str) -> Dataset:
    observation = Dataset()
    observation.ObservationNumber = number
    observation.ReferencedROINumber = number
    # Other classes are free text, of which nothing is known; the type may be empty.
    observation.RTROIInterpretedType = "GTV" if label == TUMOR_CLASS else ""
    observation.ROIInterpreter = ""
    return observation
