"""A mask as a DICOM Segmentation, through highdicom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from highdicom import AlgorithmIdentificationSequence
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentDescription
from highdicom.seg import SegmentationTypeValues as Types
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import DSfloat

from nnunet_pst import __version__
from nnunet_pst.dicom.reading.headers import MAKER
from nnunet_pst.dicom.writing.source_images import (
    CHARACTER_SET,
    RESEARCH_ONLY,
    DicomSource,
    deriving,
)

#: SNOMED CT codes of DICOM's context groups for what is segmented (PS3.16 CID 7150 and 7159).
CATEGORY = Code("49755003", "SCT", "Morphologically Abnormal Structure")
PROPERTY = Code("108369006", "SCT", "Neoplasm")
#: DICOM's term for the family of algorithms (PS3.16 CID 7162).
FAMILY = Code("123109", "DCM", "Artificial Intelligence")
TUMOR_CLASS = "tumor"
#: For classes of other names, which are free text: a code that says little rather than wrong.
TISSUE = Code("85756007", "SCT", "Tissue")
#: Derived series are numbered after all acquired ones.
SERIES_OFFSET = 9000
#: Characters of a segment's label (VR LO).
_LONGEST = 64


def make_segmentation(
    source: DicomSource,
    labels: npt.NDArray[np.integer | np.bool_],
    *,
    name: str,
    model_id: str,
    classes: Sequence[str] = (TUMOR_CLASS,),
) -> Dataset:
    """Make a binary segmentation, a coded segment a class, each frame referring to its image.

    Parameters
    ----------
    source
        The images, in the order of the mask's slices.
    labels
        (z, y, x), not empty, on the grid of the images; 0 for background, else the value of a
        class. A class without a voxel gets no segment.
    name
        Sequence that was segmented, for the series' description.
    model_id
        Of the model; at most 64 characters.
    classes
        Names of the values 1, 2, ...

    Raises
    ------
    InputError
        As `DicomSource.completed`, and when the headers are too damaged to derive anything from.
    """
    with deriving("a DICOM segmentation"):
        return _segmentation(source, labels, found_classes(labels, classes), name, model_id)


def found_classes(
    labels: npt.NDArray[np.integer | np.bool_], classes: Sequence[str]
) -> dict[int, str]:
    """Return the names of the classes that have voxels, by value."""
    return {
        value: name for value, name in enumerate(classes, start=1) if bool((labels == value).any())
    }


def _segmentation(
    source: DicomSource,
    labels: npt.NDArray[np.integer | np.bool_],
    found: dict[int, str],
    name: str,
    model_id: str,
) -> Dataset:
    algorithm = AlgorithmIdentificationSequence(
        name=MAKER, version=__version__, family=FAMILY, parameters={"model": model_id}
    )
    segments = [
        SegmentDescription(
            segment_number=number,
            segment_label=label[:_LONGEST],
            segmented_property_category=CATEGORY if label == TUMOR_CLASS else TISSUE,
            segmented_property_type=PROPERTY if label == TUMOR_CLASS else TISSUE,
            algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            tracking_id=f"{name} {label}",
            tracking_uid=generate_uid(),
        )
        for number, label in enumerate(found.values(), start=1)
    ]
    numbered = np.zeros(labels.shape, dtype=np.uint8)
    for number, value in enumerate(found, start=1):
        numbered[labels == value] = number
    made: Any = Segmentation(
        source_images=_images(source),
        pixel_array=numbered,
        segmentation_type=Types.BINARY,
        segment_descriptions=segments,
        series_instance_uid=generate_uid(),
        series_number=SERIES_OFFSET + source.series_number,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer=MAKER,
        manufacturer_model_name=MAKER,
        software_versions=__version__,
        device_serial_number=model_id,
        content_label="TUMOR",
        content_description=RESEARCH_ONLY,
        series_description=f"{name} tumor segmentation (research)",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        specific_character_set=CHARACTER_SET,
        omit_empty_frames=True,
    )
    dataset: Dataset = made
    if source.frames:
        _number_frames_as_in_source(dataset, source.frames)
    _shorten_decimals(dataset)
    return dataset


def _images(source: DicomSource) -> list[Dataset]:
    """Return the images of the mask's slices, in their order.

    Of a multi-frame file that is a copy of its header with those frames alone: its other frames may
    lie at the same places (b-values, echoes, phases), which highdicom refuses.
    """
    if not source.frames:
        return list(source.completed)
    described = source.first.PerFrameFunctionalGroupsSequence
    image = Dataset()
    image.update(source.first)
    # Elements are shared with the source: new ones, rather than new values of the old ones.
    del image.PerFrameFunctionalGroupsSequence, image.NumberOfFrames
    if hasattr(source.first, "file_meta"):
        image.file_meta = source.first.file_meta
    image.PerFrameFunctionalGroupsSequence = [described[frame - 1] for frame in source.frames]
    image.NumberOfFrames = len(source.frames)
    return [image]


def _number_frames_as_in_source(made: Dataset, frames: Sequence[int]) -> None:
    """Let references count frames as the source file does, not as the copy that was given."""
    for group in made.PerFrameFunctionalGroupsSequence:
        for derivation in group.DerivationImageSequence:
            for image in derivation.SourceImageSequence:
                image.ReferencedFrameNumber = frames[int(image.ReferencedFrameNumber) - 1]


def _shorten_decimals(made: Dataset) -> None:
    """Write decimal strings with at most 16 characters (PS3.5 6.2); sources have longer ones."""
    for element in made.iterall():
        if element.VR == "DS" and element.value:
            values = element.value if element.VM > 1 else [element.value]
            short = [DSfloat(float(value), auto_format=True) for value in values]
            element.value = short if element.VM > 1 else short[0]
