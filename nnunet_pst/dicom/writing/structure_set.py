"""A mask as an RT Structure Set: outlines in patient coordinates, right on any plane.

The contours are the mask's outlines along the edges of its pixels (`nnunet_pst.io.mask_outlines`),
placed by the grid's affine, so that no spacings can be swapped and no axis is assumed.
"""

from __future__ import annotations

from collections.abc import Iterator
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
from nnunet_pst.dicom.writing.segmentation_object import SEGMENT_LABEL, SERIES_OFFSET
from nnunet_pst.dicom.writing.source_images import (
    RESEARCH_ONLY,
    DicomSource,
    deriving,
    study_attributes,
)
from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.mask_outlines import outline_points_lps_mm, outline_polygons
from nnunet_pst.io.viewer_labels import TUMOR_RGB

#: Retired, but the standard still prescribes it here (PS3.3 C.8.8.5).
_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"
#: After the segmentation's series.
_SERIES_STEP = 500


def make_structure_set(
    source: DicomSource, mask: npt.NDArray[np.bool_], grid: Grid, *, name: str, model_id: str
) -> FileDataset:
    """Make a structure set with one region of interest.

    Parameters
    ----------
    source
        The images, in the order of the mask's slices.
    mask
        (z, y, x), not empty.
    grid
        Grid of the mask.
    name, model_id
        As for `nnunet_pst.dicom.writing.segmentation_object.make_segmentation`.

    Raises
    ------
    InputError
        As for a segmentation.
    """
    with deriving("a structure set"):
        return _structure_set(source, mask, grid, name=name, model_id=model_id)


def _structure_set(
    source: DicomSource, mask: npt.NDArray[np.bool_], grid: Grid, *, name: str, model_id: str
) -> FileDataset:
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
    made.StructureSetROISequence = [_region(source)]
    made.ROIContourSequence = [_contours(source, mask, grid)]
    made.RTROIObservationsSequence = [_observation()]
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


def _region(source: DicomSource) -> Dataset:
    region = Dataset()
    region.ROINumber = 1
    region.ReferencedFrameOfReferenceUID = source.first.FrameOfReferenceUID
    region.ROIName = SEGMENT_LABEL
    region.ROIDescription = RESEARCH_ONLY
    region.ROIGenerationAlgorithm = "AUTOMATIC"
    return region


def _contours(source: DicomSource, mask: npt.NDArray[np.bool_], grid: Grid) -> Dataset:
    contours = Dataset()
    contours.ROIDisplayColor = list(TUMOR_RGB)
    contours.ReferencedROINumber = 1
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


def _observation() -> Dataset:
    observation = Dataset()
    observation.ObservationNumber = 1
    observation.ReferencedROINumber = 1
    observation.RTROIInterpretedType = "GTV"
    observation.ROIInterpreter = ""
    return observation
