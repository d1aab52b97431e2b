"""Measures of a segmentation as a DICOM structured report (TID 1500), through highdicom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from highdicom import sr
from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from nnunet_pst import __version__
from nnunet_pst.dicom.reading.headers import MAKER
from nnunet_pst.dicom.writing.segmentation_object import (
    CATEGORY,
    PROPERTY,
    SERIES_OFFSET,
    TISSUE,
    TUMOR_CLASS,
)
from nnunet_pst.dicom.writing.source_images import RESEARCH_ONLY, DicomSource, deriving

#: Codes of our own; the standard has none for whether a segmentation can be believed.
_SCHEME = "99NNUNETPST"
_TRUST = CodedConcept("trust", _SCHEME, "Plausibility of the segmentation")
#: LOINC's code for any MRI (PS3.16 CID 100).
_PROCEDURE = Code("25056-3", "LN", "MRI Unspecified body region")
_LEVEL = CodedConcept("uncertainty", _SCHEME, "Measurement uncertainty of the volume")
_MILLILITER = Code("ml", "UCUM", "milliliter")
#: The standard's title for what a program measures (PS3.16 CID 7021).
_TITLE = Code("126000", "DCM", "Imaging Measurement Report")
_LONGEST_MEANING = 64


@dataclass(frozen=True)
class MeasuredSegment:
    """What is reported of one segment.

    Attributes
    ----------
    name
        Of the class.
    volume_ml, longest_mm, perpendicular_mm
        As in the study's report.
    volume_interval_ml
        Of the true volume; None where there is none.
    flag, coverage
        Whether to believe the mask; coverage of the interval.
    """

    name: str
    volume_ml: float
    longest_mm: float
    perpendicular_mm: float
    volume_interval_ml: tuple[float, float] | None
    flag: str
    coverage: float


def make_measurement_report(
    source: DicomSource,
    segmentation: Dataset,
    segments: Sequence[MeasuredSegment],
    *,
    name: str,
    model_id: str,
) -> Dataset:
    """Report volume and diameters of each segment, and whether to believe it.

    Limits of the volume's interval are the standard's measurement uncertainties: distances from the
    measured value, up and down.

    Parameters
    ----------
    source
        The images that were segmented.
    segmentation
        Of `make_segmentation`; its segments in the order of ``segments``.
    segments
        At least one.
    name
        Sequence, for the series' description.
    model_id
        Of the model; at most 64 characters.

    Raises
    ------
    InputError
        As `make_segmentation`.
    """
    with deriving("a DICOM measurement report"):
        groups = [
            _group(source, segmentation, number, one, name, model_id)
            for number, one in enumerate(segments, start=1)
        ]
        device = sr.ObserverContext(
            observer_type=codes.DCM.Device,
            observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
                uid=generate_uid(entropy_srcs=[MAKER, model_id]), name=MAKER, serial_number=model_id
            ),
        )
        report = sr.MeasurementReport(
            observation_context=sr.ObservationContext(observer_device_context=device),
            procedure_reported=_PROCEDURE,
            imaging_measurements=groups,
            title=_TITLE,
        )
        made: Dataset = sr.ComprehensiveSR(
            evidence=[segmentation, *source.completed],
            content=report,
            series_instance_uid=generate_uid(),
            series_number=SERIES_OFFSET + source.series_number,
            sop_instance_uid=generate_uid(),
            instance_number=2,
            manufacturer=MAKER,
            is_complete=True,
            series_description=f"{name} tumor measures (research)",
        )
        made.ManufacturerModelName, made.SoftwareVersions = MAKER, __version__
        made.DeviceSerialNumber = model_id
        made.CompletionFlagDescription = RESEARCH_ONLY
        return made


def _group(
    source: DicomSource,
    segmentation: Dataset,
    number: int,
    one: MeasuredSegment,
    name: str,
    model_id: str,
) -> sr.VolumetricROIMeasurementsAndQualitativeEvaluations:
    described = segmentation.SegmentSequence[number - 1]
    tumor = one.name == TUMOR_CLASS
    flag = CodedConcept(one.flag.replace(" ", "-")[:16], _SCHEME, one.flag[:_LONGEST_MEANING])
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=described.TrackingUID, identifier=described.TrackingID
        ),
        referenced_segment=sr.ReferencedSegment(
            sop_class_uid=segmentation.SOPClassUID,
            sop_instance_uid=segmentation.SOPInstanceUID,
            segment_number=number,
            source_series=sr.SourceSeriesForSegmentation(source.first.SeriesInstanceUID),
        ),
        finding_type=PROPERTY if tumor else TISSUE,
        finding_category=CATEGORY if tumor else None,
        algorithm_id=sr.AlgorithmIdentification(
            MAKER, __version__, parameters=[f"model: {model_id}"]
        ),
        measurements=[
            sr.Measurement(
                codes.SCT.Volume, round(one.volume_ml, 3), _MILLILITER, properties=_interval(one)
            ),
            sr.Measurement(codes.SCT.LongAxis, round(one.longest_mm, 2), codes.UCUM.Millimeter),
            sr.Measurement(
                codes.SCT.ShortAxis, round(one.perpendicular_mm, 2), codes.UCUM.Millimeter
            ),
        ],
        qualitative_evaluations=[
            sr.QualitativeEvaluation(_TRUST, flag),
            *([] if one.volume_interval_ml is None else [_level(one.coverage)]),
        ],
    )


def _level(coverage: float) -> sr.QualitativeEvaluation:
    """Say what the measurement uncertainties of the volume are."""
    percent = f"{100 * coverage:.0f}"
    return sr.QualitativeEvaluation(
        _LEVEL, CodedConcept(f"range-{percent}", _SCHEME, f"{percent} % range of the true volume")
    )


def _interval(one: MeasuredSegment) -> sr.MeasurementProperties | None:
    if one.volume_interval_ml is None:
        return None
    low, high = one.volume_interval_ml
    made = sr.MeasurementProperties(
        upper_measurement_uncertainty=round(max(high - one.volume_ml, 0.0), 3),
        lower_measurement_uncertainty=round(max(one.volume_ml - low, 0.0), 3),
    )
    for item in made:  # highdicom writes them without a unit
        unit = CodedConcept(*_MILLILITER[:3])
        item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence = [unit]
    return made
