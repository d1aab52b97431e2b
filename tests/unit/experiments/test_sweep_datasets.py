"""Pseudonyms that the datasets of a sweep share."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnunet_pst.dataset.raw_dataset import RawDataset
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.experiments.sweep_datasets import _shared_key

KEY = "patient,pseudonym\nanna,PST_0001\n"


@pytest.fixture
def places(tmp_path: Path) -> tuple[RawDataset, RawDataset]:
    base, other = RawDataset(tmp_path, "DatasetPST"), RawDataset(tmp_path, "DatasetPSTT2")
    base.key.write_text(KEY)
    return base, other


def refused(base: RawDataset, other: RawDataset) -> None:
    with pytest.raises(InputError), _shared_key(base, other):
        raise InputError("no T2 in the table", Fault.MISSING)


def test_a_refused_conversion_leaves_no_key(places: tuple[RawDataset, RawDataset]):
    refused(*places)
    assert not places[1].key.exists()


@pytest.mark.parametrize("begun", [True, False])
def test_the_key_of_data_that_are_there_stays(places: tuple[RawDataset, RawDataset], begun: bool):
    if begun:
        places[1].folder.mkdir()
    else:
        places[1].key.write_text(KEY)
    refused(*places)
    assert places[1].key.read_text() == KEY
