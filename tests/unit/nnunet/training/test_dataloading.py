"""Batches: the same bytes for any number of threads and any restart."""

from __future__ import annotations

import contextlib
import time
from collections import Counter

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from nnunet_pst.io.slice_kinds import SliceKind
from nnunet_pst.labels import IGNORE
from nnunet_pst.network.augmentation import BagTransform, RawBags
from nnunet_pst.network.intensity import to_unit_range
from nnunet_pst.nnunet.training import dataloading
from nnunet_pst.nnunet.training.case_reader import SliceCache, case_slices
from nnunet_pst.nnunet.training.dataloading import BatchesOnDevice, in_order
from nnunet_pst.nnunet.training.settings import TrainingSettings
from training_example import (
    CASES,
    DRAWN,
    FREE,
    ORIGINS,
    SHAPE,
    UNKNOWN,
    Host,
    Recorded,
    as_bytes,
    bytes_of,
    made,
    make_batches,
    make_reader,
)


@pytest.mark.parametrize("intensity", ["unit", "host"])
@pytest.mark.parametrize("threads", [1, 3])
def test_batches_are_the_same_for_any_number_of_threads(threads: int, intensity: str):
    wanted = bytes_of(make_batches(make_reader(Host(), intensity=intensity)), *range(9))
    assert len(set(wanted)) == 9
    batches = make_batches(make_reader(Host(), intensity=intensity))
    assert bytes_of(batches, *range(9), threads=threads) == wanted


def test_batches_come_in_order_and_are_not_made_far_ahead():
    begun = []

    def make(index: int) -> int:
        begun.append(index)
        time.sleep(0.01 * (index % 3))
        return index

    batches = in_order(make, range(10**9), threads=2)
    assert [next(batches) for _ in range(20)] == list(range(20))
    assert max(begun) < 20 + 2 * 2 + 1
    batches.close()


def test_a_gpu_gets_the_same_batches_one_ahead(monkeypatch: pytest.MonkeyPatch):
    """The code for a GPU; its CUDA calls are replaced by records of them."""
    notes: list[str] = []

    class Stream:
        sampled = 0

        def __init__(self, device: object) -> None:
            notes.append("stream")

        def record_event(self) -> int:
            Stream.sampled += 1
            notes.append(f"sampled {Stream.sampled}")
            return Stream.sampled

        def wait_event(self, event: int) -> None:
            notes.append(f"waited for {event}")

    network = Stream(None)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: network)
    monkeypatch.setattr(
        torch.Tensor, "record_stream", lambda _, stream: notes.append(f"kept {stream is network}")
    )
    monkeypatch.setattr(RawBags, "to", lambda bags, _: bags)
    pinned = []
    monkeypatch.setattr(
        dataloading, "replace", lambda batches, **change: pinned.append(change) or batches
    )
    wanted = bytes_of(make_batches(make_reader(Host())), *range(3))
    pinned.clear(), notes.clear()
    found = BatchesOnDevice(
        make_batches(make_reader(Host())), range(3), device=torch.device("cuda"), threads=2
    )
    assert [as_bytes(batch) for batch in found] == wanted
    assert pinned == [{"pinned": True}]
    kept = ["kept True"] * 2
    assert notes == [
        *("stream", "sampled 1", "sampled 2", "waited for 1", *kept),
        *("sampled 3", "waited for 2", *kept),
        *("waited for 3", *kept),
    ]


def test_an_error_in_a_thread_is_raised_with_its_batch():
    def make(index: int) -> int:
        return 1 // (2 - index)

    batches = in_order(make, range(9), threads=2)
    assert [next(batches), next(batches)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(batches)


def test_threads_read_a_case_one_at_a_time():
    class OneAtATime(Recorded):
        readers = 0

        def __getitem__(self, index: object) -> np.ndarray:
            self.readers += 1
            assert self.readers == 1, "two threads in one file"
            time.sleep(0.001)
            self.readers -= 1
            return super().__getitem__(index)

    host = Host()
    for case, (image, label) in host.cases.items():
        host.cases[case] = OneAtATime(image.array), OneAtATime(label.array)
    batches = make_batches(make_reader(host, cache=SliceCache(0)))
    assert len(made(batches, *range(6), threads=4)) == 6


def test_a_restart_continues_with_the_same_batches():
    wanted = bytes_of(make_batches(make_reader(Host())), *range(6))
    assert bytes_of(make_batches(make_reader(Host())), 4, 5) == wanted[4:]


def test_a_batch_depends_on_seed_stream_and_index_alone():
    batches = make_batches(make_reader(Host()))
    torch.manual_seed(1)
    np.random.seed(1)
    (first,) = bytes_of(batches, 7)
    np.random.seed(2)
    torch.manual_seed(2)
    assert bytes_of(batches, 7) == [first]
    reader = make_reader(Host())
    assert bytes_of(make_batches(reader, stream=(0, 1)), 7) != [first]
    assert bytes_of(make_batches(reader, stream=(1, 0)), 7) != [first]
    assert bytes_of(make_batches(reader, TrainingSettings(crop=32, seed=1)), 7) != [first]


def test_a_cache_changes_no_byte():
    cached, uncached = make_reader(Host()), make_reader(Host(), cache=SliceCache(0))
    for _ in range(2):
        assert bytes_of(make_batches(cached), 0, 1, 2) == bytes_of(make_batches(uncached), 0, 1, 2)


def test_validation_uses_the_same_batches_in_every_epoch():
    batches = make_batches(make_reader(Host()), augment=False, repeat_after=3)
    assert bytes_of(batches, 4) == bytes_of(batches, 1)
    assert bytes_of(batches, 2) != bytes_of(batches, 1)


def test_without_augmentation_bags_are_only_cropped():
    host = Host()
    for image, _ in host.cases.values():
        image.array[:] = 100 + np.arange(SHAPE[2])
    (batch,) = made(make_batches(make_reader(host), augment=False), 0)
    for bag in batch["data"]:
        inside = bag[:, 2:-2, 2:-2]
        assert torch.allclose(inside.diff(dim=2), torch.ones(()), atol=1e-3)
        assert torch.allclose(inside.diff(dim=1), torch.zeros(()), atol=1e-3)


def test_wholly_unknown_slices_are_never_the_center_and_only_the_center_has_a_label():
    host = Host()
    reader = make_reader(host)
    batches = make_batches(reader, batch_size=50)
    draws = batches.sampler.draw(2000, np.random.default_rng(0))
    assert {draw.center for draw in draws} == {*FREE, *DRAWN}
    for batch in made(batches, *range(4)):
        assert batch["data"].shape == (50, 6, 32, 32)
        assert batch["target"].shape == (50, 1, 32, 32)
        known = (batch["target"] != IGNORE).flatten(1).any(dim=1)
        assert known.all()


def test_labels_are_those_of_the_file_and_no_others():
    target = torch.cat(
        [batch["target"] for batch in made(make_batches(make_reader(Host())), *range(8))]
    )
    assert set(target.unique().tolist()) == {0, 1, 2}


def test_the_ablation_has_no_unknown_voxels():
    reader = make_reader(Host(), unknown_is_background=True)
    batches = make_batches(reader)
    assert {int(k) for case in batches.sampler.cases for k in case.kinds} == {
        SliceKind.KNOWN,
        SliceKind.LESION,
    }
    for batch in made(batches, *range(8)):
        assert set(batch["target"].unique().tolist()) <= {0, 1}
    draws = batches.sampler.draw(2000, np.random.default_rng(0))
    assert {draw.center for draw in draws} >= set(UNKNOWN)


def test_a_bag_is_sequence_major_on_a_canvas():
    host = Host()
    batches = make_batches(make_reader(host))
    bags, keys = batches[0]
    assert bags.images.shape == (4, 6, 40, 36)
    draws = batches.sampler.draw(4, np.random.default_rng((batches.settings.seed, 0, 0, 0)))
    for bag, label, key, draw in zip(bags.images, bags.labels, keys, draws, strict=True):
        assert draw.case == key
        members = np.clip([draw.center - 1, draw.center, draw.center + 1], 0, SHAPE[0] - 1)
        assert np.array_equal(bag.unflatten(0, (2, 3)), host.image(key)[:, members])
        assert np.array_equal(label[0], np.maximum(host.label(key)[0, draw.center], 0))


def test_sampling_applies_the_affine_map(monkeypatch: pytest.MonkeyPatch):
    """Sampling from half precision, beside SciPy's interpolation of the host's arrays."""
    drawn = []
    draw = dataloading.draw_transform

    def remember(*arguments: object, **more: object) -> BagTransform:
        drawn.append(draw(*arguments, **more))
        return drawn[-1]

    monkeypatch.setattr(dataloading, "draw_transform", remember)
    host = Host()
    batches = make_batches(make_reader(host, intensity="unit"), batch_size=8)
    (batch,) = made(batches, 3)
    draws = batches.sampler.draw(8, np.random.default_rng((batches.settings.seed, 0, 0, 3)))
    for data, target, own, transform in zip(
        batch["data"], batch["target"], draws, drawn, strict=True
    ):
        offset = np.stack(np.meshgrid(*[np.arange(32) - 15.5] * 2, indexing="ij"), axis=-1)
        place = np.moveaxis(offset @ transform.matrix.T + transform.center, -1, 0)
        volume = to_unit_range(torch.from_numpy(host.image(own.case))).numpy()
        for channel in range(2):
            plain = map_coordinates(
                volume[channel, own.center], place, order=1, mode="grid-constant"
            )
            power = np.maximum(plain, 0) ** transform.gamma[channel] + np.minimum(plain, 0)
            # Half precision rounds values up to about 4 by up to 2^-10, before the power.
            np.testing.assert_allclose(
                data[3 * channel + 1], power * transform.gain[channel], atol=1e-2
            )
        label = np.maximum(host.label(own.case)[0, own.center], 0)
        plain = map_coordinates(label, place, order=0, mode="grid-constant")
        # SciPy and PyTorch may differ where a position is between two pixels, up to rounding.
        between = np.abs(place % 1 - 0.5).min(axis=0) < 1e-3
        assert np.array_equal(target[0][~between], plain[~between])
        assert between.mean() < 0.05


def test_border_bags_repeat_the_border():
    host = Host()
    batches = make_batches(make_reader(host), TrainingSettings(crop=32), augment=False)
    found = Counter()
    for batch in made(batches, *range(20)):
        for bag in batch["data"]:
            found[torch.equal(bag[0], bag[1]) or torch.equal(bag[1], bag[2])] += 1
    # Free negatives are the first and the last slice, and a tenth of all bags.
    assert 0.02 < found[True] / found.total() < 0.25


@pytest.mark.parametrize("without_unknown", [False, True])
def test_another_ignore_value_and_several_classes(without_unknown: bool):
    host = Host()
    for _, label in host.cases.values():
        # Classes 1 and 2, and 3 for unknown: 2 is a lesion here, not the unknown.
        label.array[label.array == 2] = 3
        label.array[:, 6:8, 10:14][label.array[:, 6:8, 10:14] == 1] = 2
    reader = make_reader(host, unknown_is_background=without_unknown, ignore_label=3)
    stored = host.label(CASES[0])[0]
    expected = np.where(stored < 0, 0, stored)
    if without_unknown:
        expected = np.where(expected == 3, 0, expected)
    assert (reader.label(CASES[0]) == expected).all()
    (case, *_) = case_slices(reader, CASES, ORIGINS)
    if not without_unknown:
        unknown = [(expected[z] == 3).all() for z in range(len(expected))]
        assert [kind == SliceKind.UNKNOWN for kind in case.kinds] == unknown
    (batch,) = made(make_batches(reader), 0)
    assert set(np.unique(batch["target"])) <= ({0, 1, 2} if without_unknown else {0, 1, 2, 3})
    assert 2 in batch["target"]
