"""Studies of a few series, described by the elements of their headers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import FileDataset

from nnunet_pst.dicom.scan.studies import find_series, judge_studies

DEPTHS = tuple(4.0 * i for i in range(6))


Series = dict[str, Any]


@pytest.fixture
def chosen(
    tmp_path: Path, write_series: Callable[..., np.ndarray]
) -> Callable[[list[Series]], dict[str, int]]:
    """Writes the series of a study, and returns the numbers of those taken."""

    def choose(series: list[Series]) -> dict[str, int]:
        for index, one in enumerate(series, 1):
            elements = {"number": index, "positions": DEPTHS, **one}
            start, edit = elements.pop("start", None), elements.pop("edit", None)
            folder = tmp_path / f"{elements['number']}"

            def edited(made: FileDataset, slice_number: int, start=start, edit=edit) -> None:
                if start is not None:
                    made.InstanceNumber = start + slice_number
                if edit is not None:
                    edit(made, slice_number)

            write_series(folder, edit=edited, **elements)
        (study,) = judge_studies(find_series(tmp_path).series)
        return {s: one.stack.series.first.number or 0 for s, one in study.chosen.items()}

    return choose
