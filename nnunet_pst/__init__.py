"""2.5D segmentation of pelvic and sacral tumors with nnU-Net v2, from Python.

Six functions are the public API; each has the name of its verb on the command line, and its
docstring has an example that is run as a test. Importing this package loads neither torch nor
nnU-Net: a function's module is imported when the function is first used.

    scan       DICOM folders to a cohort table
    convert    a cohort table to an nnU-Net raw dataset
    plan       fingerprint, plans, preprocessing and folds of a dataset
    segment    new studies to masks, measures and pages
    evaluate   one method's masks against the reference
    compare    several methods on the same patients

Training and prediction are nnU-Net's own (``nnUNetv2_train``, ``nnUNetv2_predict``). For research
use only; not a medical device.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nnunet_pst.comparison.compare import compare as compare
    from nnunet_pst.comparison.inputs import ComparisonSettings as ComparisonSettings
    from nnunet_pst.dataset.annotation import LabelRules as LabelRules
    from nnunet_pst.dataset.conversion import convert_cohort as convert
    from nnunet_pst.dataset.conversion_settings import ConversionSettings as ConversionSettings
    from nnunet_pst.dicom.scan.scanning import scan as scan
    from nnunet_pst.evaluation.evaluate import evaluate as evaluate
    from nnunet_pst.nnunet.models.segment import ModelSettings as ModelSettings
    from nnunet_pst.nnunet.models.segment import segment as segment
    from nnunet_pst.nnunet.planning import PlanningSettings as PlanningSettings
    from nnunet_pst.nnunet.planning import plan_dataset as plan
    from nnunet_pst.registration.policy import RegistrationSettings as RegistrationSettings
    from nnunet_pst.segmentation.study import SegmentationSettings as SegmentationSettings

__version__ = "0.2.0"

#: Public name, its module, and its name there.
_HOMES = {
    "scan": ("dicom.scan.scanning", "scan"),
    "convert": ("dataset.conversion", "convert_cohort"),
    "plan": ("nnunet.planning", "plan_dataset"),
    "segment": ("nnunet.models.segment", "segment"),
    "evaluate": ("evaluation.evaluate", "evaluate"),
    "compare": ("comparison.compare", "compare"),
    "ComparisonSettings": ("comparison.inputs", "ComparisonSettings"),
    "ConversionSettings": ("dataset.conversion_settings", "ConversionSettings"),
    "LabelRules": ("dataset.annotation", "LabelRules"),
    "ModelSettings": ("nnunet.models.segment", "ModelSettings"),
    "PlanningSettings": ("nnunet.planning", "PlanningSettings"),
    "RegistrationSettings": ("registration.policy", "RegistrationSettings"),
    "SegmentationSettings": ("segmentation.study", "SegmentationSettings"),
}
__all__ = [
    "ComparisonSettings",
    "ConversionSettings",
    "LabelRules",
    "ModelSettings",
    "PlanningSettings",
    "RegistrationSettings",
    "SegmentationSettings",
    "__version__",
    "compare",
    "convert",
    "evaluate",
    "plan",
    "scan",
    "segment",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    public: object = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
    return public


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
