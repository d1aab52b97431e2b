"""The DICOM images behind a mask, and the elements that derived objects take from them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property

from pydicom.dataset import Dataset

from nnunet_pst.dicom.reading.datasets import library_errors
from nnunet_pst.errors import Fault, InputError

#: UTF-8: it encodes every name in any character set of the source.
CHARACTER_SET = "ISO_IR 192"
RESEARCH_ONLY = "Research use only, not for diagnosis"
#: Elements of patient and study in derived objects, empty where the source lacks them (type 2).
_REPEATED = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PositionReferenceIndicator",
)
_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")


@dataclass(frozen=True)
class DicomSource:
    """Headers of the images behind a volume.

    Attributes
    ----------
    instances
        One for each slice, in the volume's order; or one multi-frame instance.
    frames
        Of a multi-frame instance: the frame (from 1) of each slice; else empty.
    """

    instances: tuple[Dataset, ...]
    frames: tuple[int, ...] = ()

    @cached_property
    def completed(self) -> tuple[Dataset, ...]:
        """The headers with every attribute that derived objects repeat, decoded for Unicode.

        Raises
        ------
        InputError
            When the images lack an element that every derived object needs.
        """
        missing = [name for name in _NEEDED if not self.instances[0].get(name)]
        if missing:
            raise InputError(
                f"the images lack {', '.join(missing)}, so DICOM objects can't refer to them",
                Fault.MISSING,
            )
        return tuple(_completed(header) for header in self.instances)

    @property
    def first(self) -> Dataset:
        """The first slice's header."""
        return self.completed[0]

    def references(self) -> Iterator[tuple[Dataset, int | None]]:
        """Yield the header of each slice, and the frame in it if it has several."""
        if self.frames:
            yield from ((self.first, frame) for frame in self.frames)
        else:
            yield from ((header, None) for header in self.completed)

    @property
    def series_number(self) -> int:
        """Number of the source series; 0 when it has none."""
        return int(self.first.get("SeriesNumber") or 0)


def _completed(header: Dataset) -> Dataset:
    # Shallow: elements are shared, and only missing ones are added.
    copy = Dataset()
    copy.update(header)
    if hasattr(header, "file_meta"):
        copy.file_meta = header.file_meta
    copy.decode()
    for name in _REPEATED:
        if name not in copy:
            setattr(copy, name, "")
    return copy


def deriving(what: str) -> AbstractContextManager[None]:
    """Turn exceptions of the libraries over damaged headers into one line.

    Their messages and warnings may hold a patient's name, so neither is shown.

    Raises
    ------
    InputError
        Instead of the exceptions that wrong values cause.
    """

    def refused(error: Exception) -> InputError:
        return InputError(
            f"the images' headers don't allow {what} ({type(error).__name__}); mend them, or use "
            "the NIfTI mask",
            Fault.DAMAGED,
        )

    kinds = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
    return library_errors(kinds, refused)


def study_attributes(source: DicomSource) -> Dataset:
    """Return patient and study of the source, for an object that belongs to the same study."""
    made = Dataset()
    made.SpecificCharacterSet = CHARACTER_SET
    for name in (*_REPEATED, "StudyInstanceUID", "StudyDescription"):
        if name in source.first:
            setattr(made, name, source.first[name].value)
    return made
