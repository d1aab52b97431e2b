"""Batches: the same bytes for any worker and any restart, and nothing read that isn't needed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from nnunet_pst.errors import InputError
from nnunet_pst.intensity import to_unit_range
from nnunet_pst.labels import IGNORE
from nnunet_pst.nnunet.dataloading import (
    CACHE_VARIABLE,
    BagBatches,
    CaseReader,
    bag_loader,
    cache_bytes,
    case_slices,
)
from nnunet_pst.settings import TrainingSettings
from nnunet_pst.slices import SliceKind, SliceSampler

SHAPE = (12, 40, 36)
CASES = ("PST_0001_T1", "PST_0001_T2", "PST_0002_T2", "PST_0003_T2")
ORIGINS = {case: (case[:8], case[9:]) for case in CASES}
#: Slices of every case: free negative, unknown, drawn.
FREE, UNKNOWN, DRAWN = (0, 11), (1, 2, 9, 10), (3, 4, 5, 6, 7, 8)
SLICE_BYTES = 2 * 40 * 36 * 4


class Recorded:
    """An array of the host's preprocessed data that remembers what was read of it."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.reads: list[object] = []

    def __getitem__(self, index: object) -> np.ndarray:
        self.reads.append(index)
        return self.array[index]

    def slices_read(self) -> list[int]:
        """Single slices, in the order in which they were read."""
        return [
            index[1]
            for index in self.reads
            if isinstance(index, tuple) and isinstance(index[1], int)
        ]


class Host:
    """nnU-Net's dataset: images of two channels, whose values tell case, channel and slice."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.cases = {}
        for number, case in enumerate(CASES):
            image = rng.normal(number, 1, (2, *SHAPE)).astype(np.float32)
            label = np.full((1, *SHAPE), IGNORE, np.int16)
            label[:, [*FREE, *DRAWN]] = 0
            label[:, 5:8, 10:20, 12:22] = 1
            label[:, 4, :4] = IGNORE
            label[:, :, -2:] = np.where(label[:, :, -2:] == IGNORE, IGNORE, -1)
            self.cases[case] = Recorded(image), Recorded(label)

    def load_case(self, case: str) -> tuple[Recorded, Recorded, None, dict]:
        return *self.cases[case], None, {}

    def image(self, case: str) -> np.ndarray:
        return self.cases[case][0].array

    def label(self, case: str) -> np.ndarray:
        return self.cases[case][1].array


def make_reader(host: Host, **changes: object) -> CaseReader:
    settings = {"intensity": "host", "unknown_is_background": False, "cache_bytes": 2**30}
    return CaseReader(host, **{**settings, **changes})


def make_batches(
    reader: CaseReader, settings: TrainingSettings | None = None, **changes: object
) -> BagBatches:
    settings = settings or TrainingSettings(crop=32)
    sampler = SliceSampler(
        case_slices(reader, CASES, ORIGINS),
        lesion_share=settings.lesion_share,
        negative_share=settings.negative_share,
    )
    arguments = {"slices_per_bag": 3, "batch_size": 4, "augment": True, "stream": (0, 0)}
    return BagBatches(reader=reader, sampler=sampler, settings=settings, **{**arguments, **changes})


def as_bytes(batch: dict) -> tuple[bytes, bytes, tuple[str, ...]]:
    return batch["data"].numpy().tobytes(), batch["target"].numpy().tobytes(), tuple(batch["keys"])


# Forking a process that has threads; what the workers do takes none of them.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_are_the_same_for_any_number_of_workers(workers: int):
    batches = make_batches(make_reader(Host()))
    wanted = [as_bytes(batches[index]) for index in range(5)]
    assert len(set(wanted)) == 5
    loader = bag_loader(batches, range(5), workers=workers, pin_memory=False)
    assert [as_bytes(batch) for batch in loader] == wanted


def test_a_restart_goes_on_with_the_batches_that_would_have_come():
    uninterrupted = make_batches(make_reader(Host()))
    wanted = [as_bytes(batch) for batch in bag_loader(uninterrupted, range(6), **SERIAL)]
    restarted = make_batches(make_reader(Host()))
    found = [as_bytes(batch) for batch in bag_loader(restarted, range(4, 6), **SERIAL)]
    assert found == wanted[4:]


SERIAL = {"workers": 0, "pin_memory": False}


def test_a_batch_depends_on_seed_stream_and_index_alone():
    batches = make_batches(make_reader(Host()))
    torch.manual_seed(1)
    np.random.seed(1)
    first = as_bytes(batches[7])
    np.random.seed(2)
    torch.manual_seed(2)
    assert as_bytes(batches[7]) == first
    reader = make_reader(Host())
    assert as_bytes(make_batches(reader, stream=(0, 1))[7]) != first
    assert as_bytes(make_batches(reader, stream=(1, 0))[7]) != first
    assert as_bytes(make_batches(reader, TrainingSettings(crop=32, seed=1))[7]) != first


def test_a_cache_changes_no_byte():
    cached, uncached = make_reader(Host()), make_reader(Host(), cache_bytes=0)
    for index in range(3):
        assert as_bytes(make_batches(cached)[index]) == as_bytes(make_batches(uncached)[index])


def test_validation_looks_at_the_same_batches_every_epoch():
    batches = make_batches(make_reader(Host()), augment=False, repeat_after=3)
    assert as_bytes(batches[4]) == as_bytes(batches[1])
    assert as_bytes(batches[2]) != as_bytes(batches[1])


def test_without_augmentation_a_crop_is_all_that_happens():
    host = Host()
    for image, _ in host.cases.values():
        image.array[:] = 100 + np.arange(SHAPE[2])
    batch = make_batches(make_reader(host), augment=False)[0]
    for bag in batch["data"]:
        inside = bag[:, 2:-2, 2:-2]
        assert torch.allclose(inside.diff(dim=2), torch.ones(()), atol=1e-3)
        assert torch.allclose(inside.diff(dim=1), torch.zeros(()), atol=1e-3)


def test_wholly_unknown_slices_are_never_the_centre_and_only_the_centre_has_a_label():
    host = Host()
    reader = make_reader(host)
    batches = make_batches(reader, batch_size=50)
    draws = batches.sampler.draw(2000, np.random.default_rng(0))
    assert {draw.centre for draw in draws} == {*FREE, *DRAWN}
    for index in range(4):
        batch = batches[index]
        assert batch["data"].shape == (50, 6, 32, 32)
        assert batch["target"].shape == (50, 1, 32, 32)
        known = (batch["target"] != IGNORE).flatten(1).any(dim=1)
        assert known.all()


def test_labels_are_those_of_the_file_and_no_others():
    target = torch.cat([make_batches(make_reader(Host()))[index]["target"] for index in range(8)])
    assert set(target.unique().tolist()) == {0, 1, 2}


def test_the_ablation_sees_nothing_unknown():
    reader = make_reader(Host(), unknown_is_background=True)
    batches = make_batches(reader)
    assert {int(k) for case in batches.sampler.cases for k in case.kinds} == {
        SliceKind.KNOWN,
        SliceKind.LESION,
    }
    for index in range(8):
        assert set(batches[index]["target"].unique().tolist()) <= {0, 1}
    draws = batches.sampler.draw(2000, np.random.default_rng(0))
    assert {draw.centre for draw in draws} >= set(UNKNOWN)


def test_a_bag_is_sequence_major():
    host = Host()
    bag = make_reader(host).bag("PST_0001_T1", [2, 3, 4])
    image = host.image("PST_0001_T1")
    assert bag.shape == (6, 40, 36)
    for place, (channel, index) in enumerate([(0, 2), (0, 3), (0, 4), (1, 2), (1, 3), (1, 4)]):
        assert np.array_equal(bag[place], image[channel, index])


def test_border_bags_repeat_the_border():
    host = Host()
    batches = make_batches(make_reader(host), TrainingSettings(crop=32), augment=False)
    found = Counter()
    for index in range(20):
        for bag in batches[index]["data"]:
            found[torch.equal(bag[0], bag[1]) or torch.equal(bag[1], bag[2])] += 1
    # Free negatives are the first and the last slice, and a tenth of all bags.
    assert 0.02 < found[True] / found.total() < 0.25


def test_only_the_slices_of_a_bag_are_read():
    host = Host()
    reader = make_reader(host)
    reader.bag("PST_0002_T2", [4, 5, 6])
    image, label = host.cases["PST_0002_T2"]
    assert image.slices_read() == [4, 5, 6]
    assert label.reads == []
    reader.label_slice("PST_0002_T2", 5)
    assert label.reads == [(0, 5)]
    # The intensity window takes one look at the volume, and none at other cases'.
    assert [read for read in image.reads if read == slice(None)] == [slice(None)]
    assert host.cases["PST_0001_T1"][0].reads == []


def test_what_is_remembered_is_not_read_again():
    host = Host()
    reader = make_reader(host)
    first = reader.bag("PST_0002_T2", [4, 5, 6])
    assert torch.equal(reader.bag("PST_0002_T2", [4, 5, 6]), first)
    assert host.cases["PST_0002_T2"][0].slices_read() == [4, 5, 6]


def test_memory_stays_below_the_limit():
    host = Host()
    reader = make_reader(host, cache_bytes=2 * SLICE_BYTES + 1)
    for _ in range(2):
        reader.bag("PST_0002_T2", [4, 5, 6, 7])
    # Two slices fit; the others are read every time.
    assert Counter(host.cases["PST_0002_T2"][0].slices_read()) == {4: 1, 5: 1, 6: 2, 7: 2}


def test_slices_get_the_scale_of_their_volume_as_in_prediction():
    host = Host()
    reader = make_reader(host, intensity="unit")
    slices = torch.stack([reader.image_slice("PST_0003_T2", index) for index in range(12)], 1)
    volume = torch.from_numpy(host.image("PST_0003_T2"))
    torch.testing.assert_close(slices, to_unit_range(volume), atol=1e-6, rtol=0)


def test_outside_the_hosts_mask_is_background():
    reader = make_reader(Host())
    label = reader.label("PST_0001_T1")
    assert (label[5, -2:] == 0).all()
    assert (label[1] == IGNORE).all()
    assert np.array_equal(label[4], reader.label_slice("PST_0001_T1", 4))


def test_a_case_that_no_table_lists_is_its_own_patient():
    found = case_slices(make_reader(Host()), CASES[:2], {CASES[0]: ("PST_0001", "T1")})
    assert [(case.patient, case.sequence) for case in found] == [
        ("PST_0001", "T1"),
        ("PST_0001_T2", ""),
    ]


def test_the_limit_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(CACHE_VARIABLE, "0.5")
    assert cache_bytes() == 2**29
    monkeypatch.setenv(CACHE_VARIABLE, "0")
    assert cache_bytes() == 0
    monkeypatch.delenv(CACHE_VARIABLE)
    assert cache_bytes() == 4 * 2**30


@pytest.mark.parametrize("text", ["much", "", "nan", "inf", "-1"])
def test_a_limit_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch, text: str):
    monkeypatch.setenv(CACHE_VARIABLE, text)
    with pytest.raises(InputError, match=CACHE_VARIABLE):
        cache_bytes()
