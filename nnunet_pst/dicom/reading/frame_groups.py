"""The elements of a frame: in its own functional groups, the shared ones, or the data set."""

from __future__ import annotations

from pydicom.dataset import Dataset

from nnunet_pst.dicom.reading.values import item, number, numbers


class FrameGroups:
    """Looks an element up in a frame's functional groups, the shared ones, then the data set."""

    def __init__(self, dataset: Dataset, shared: Dataset, frame: Dataset | None) -> None:
        self._places = [dataset] if frame is None else [frame, shared]
        self._dataset = dataset
        self._enhanced = frame is not None

    def item(self, sequence: str) -> Dataset:
        """Return the item of a functional group; of a file without frames, the data set."""
        if not self._enhanced:
            return self._dataset
        groups = (item(place, sequence) for place in self._places)
        return next((group for group in groups if len(group)), self._dataset)

    def numbers(self, sequence: str, keyword: str, count: int) -> tuple[float, ...] | None:
        """Return ``count`` numbers of an element in a functional group; None where they are not."""
        return numbers(self.item(sequence), keyword, count)

    def number(self, sequence: str, *keywords: str) -> float | None:
        """Return the first of some elements that is a number, in the group or the data set."""
        places = (self.item(sequence), self._dataset)
        values = (number(place, keyword) for place in places for keyword in keywords)
        return next((value for value in values if value is not None), None)
