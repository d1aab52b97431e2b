"""The DICOM images that a mask was made from, and what derived objects take from them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from pydicom.dataset import Dataset

from nnunet_pst.errors import InputError

#: Encodes every name; what the source's character set could say, this can.
CHARACTER_SET = "ISO_IR 192"
RESEARCH_ONLY = "Research use only, not for diagnosis"
#: What derived objects repeat of patient and study, empty where the source lacks it (type 2).
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
            When the images lack what nothing can be derived without.
        """
        missing = [name for name in _NEEDED if not self.instances[0].get(name)]
        if missing:
            raise InputError(
                f"the images lack {', '.join(missing)}, so DICOM objects can't refer to them"
            )
        return tuple(_completed(header) for header in self.instances)

    @property
    def first(self) -> Dataset:
        """The first slice's header."""
        return self.completed[0]

    def references(self) -> Iterator[tuple[Dataset, int | None]]:
        """Give the header behind each slice, and the frame in it if it has several."""
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


@contextmanager
def deriving(what: str) -> Iterator[None]:
    """Turn whatever the libraries raise over a stranger's headers into one line.

    Their messages and warnings may hold a patient's name, so neither is passed on.

    Raises
    ------
    InputError
        Instead of any other exception.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except InputError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"the images' headers don't allow {what} ({type(error).__name__}); mend them, or use "
            "the NIfTI mask"
        ) from error


def study_attributes(source: DicomSource) -> Dataset:
    """Return patient and study of the source, for an object that belongs to the same study."""
    made = Dataset()
    made.SpecificCharacterSet = CHARACTER_SET
    for name in (*_REPEATED, "StudyInstanceUID", "StudyDescription"):
        if name in source.first:
            setattr(made, name, source.first[name].value)
    return made
