"""Slices of cases: only those that are needed are read, once, within the memory's limit."""

from __future__ import annotations

from collections import Counter
from threading import Thread

import numpy as np
import pytest
import torch

from nnunet_pst.errors import Fault, InputError
from nnunet_pst.labels import IGNORE
from nnunet_pst.network.intensity import to_unit_range
from nnunet_pst.nnunet.training.case_reader import (
    CACHE_VARIABLE,
    HALF_LIMIT,
    CaseReader,
    SliceCache,
    cache_bytes,
    case_slices,
)
from training_example import CASES, SLICE_BYTES, Host, make_reader


def read_images(reader: CaseReader, case: str, *indices: int) -> list[np.ndarray]:
    return [reader.image_slice(case, index) for index in indices]


def test_only_the_slices_of_a_bag_are_read():
    host = Host()
    reader = make_reader(host)
    read_images(reader, "PST_0002_T2", 4, 5, 6)
    image, label = host.cases["PST_0002_T2"]
    assert image.reads == [(slice(None), 4), (slice(None), 5), (slice(None), 6)]
    assert label.reads == []
    reader.label_slice("PST_0002_T2", 5)
    assert label.reads == [(0, 5)]
    assert host.cases["PST_0001_T1"][0].reads == []


def test_the_intensity_window_reads_the_volume_once():
    host = Host()
    reader = make_reader(host, intensity="unit")
    read_images(reader, "PST_0002_T2", 4, 5, 6)
    assert [read for read in host.cases["PST_0002_T2"][0].reads if read == slice(None)] == [
        slice(None)
    ]
    assert host.cases["PST_0001_T1"][0].reads == []


def test_cached_slices_are_not_read_again():
    host = Host()
    reader = make_reader(host)
    first = read_images(reader, "PST_0002_T2", 4, 5, 6), reader.label_slice("PST_0002_T2", 5)
    again = read_images(reader, "PST_0002_T2", 4, 5, 6), reader.label_slice("PST_0002_T2", 5)
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert host.cases["PST_0002_T2"][0].slices_read() == [4, 5, 6]
    assert host.cases["PST_0002_T2"][1].reads == [(0, 5)]
    with pytest.raises(ValueError):
        again[1][0, 0] = 1


def test_memory_stays_below_the_limit_of_all_readers_together():
    host = Host()
    cache = SliceCache(2 * SLICE_BYTES + 1)
    training, validation = make_reader(host, cache=cache), make_reader(host, cache=cache)
    for _ in range(2):
        read_images(training, "PST_0002_T2", 4, 5)
        read_images(validation, "PST_0003_T2", 6, 7)
    # Two slices fit; the others are read every time.
    assert Counter(host.cases["PST_0002_T2"][0].slices_read()) == {4: 1, 5: 1}
    assert Counter(host.cases["PST_0003_T2"][0].slices_read()) == {6: 2, 7: 2}


def test_memory_stays_below_the_limit_when_threads_offer_at_once():
    cache = SliceCache(1000 * 8)
    arrays = [np.zeros(8, np.int8) for _ in range(4000)]

    def offer(start: int) -> None:
        for index in range(start, 4000, 4):
            cache.offer(("case", index, "image"), arrays[index])

    threads = [Thread(target=offer, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(cache.get(("case", index, "image")) is not None for index in range(4000)) == 1000


def test_the_unit_scale_is_kept_in_half_precision():
    host = Host()
    reader = make_reader(host, intensity="unit")
    (image,) = read_images(reader, "PST_0003_T2", 3)
    exact = to_unit_range(torch.from_numpy(host.image("PST_0003_T2")))[:, 3].numpy()
    assert image.dtype == np.float16
    assert (np.abs(image - exact) <= 2.0**-11 * np.abs(exact) + 2.0**-25).all()
    (host_scale,) = read_images(make_reader(host), "PST_0003_T2", 3)
    assert host_scale.dtype == np.float32


def test_values_beyond_half_precision_become_its_largest_number():
    host = Host()
    host.image("PST_0003_T2")[0, 3, 0, :2] = 1e9, -1e9
    reader = make_reader(host, intensity="unit")
    reader._windows["PST_0003_T2"] = [(0.0, 1.0)] * 2
    (image,) = read_images(reader, "PST_0003_T2", 3)
    assert image[0, 0, :2].tolist() == [HALF_LIMIT, -HALF_LIMIT]


def test_slices_get_the_scale_of_their_volume_as_in_prediction():
    host = Host()
    reader = make_reader(host, intensity="unit")
    slices = np.stack(read_images(reader, "PST_0003_T2", *range(12)), axis=1)
    volume = to_unit_range(torch.from_numpy(host.image("PST_0003_T2"))).numpy()
    np.testing.assert_allclose(slices.astype(np.float32), volume, atol=1e-6, rtol=2.0**-11)


def test_outside_the_hosts_mask_is_background():
    reader = make_reader(Host())
    label = reader.label("PST_0001_T1")
    assert (label[5, -2:] == 0).all()
    assert (label[1] == IGNORE).all()
    assert np.array_equal(label[4], reader.label_slice("PST_0001_T1", 4))


def test_a_case_outside_the_table_is_its_own_patient():
    cases = case_slices(make_reader(Host()), CASES[:2], {CASES[0]: ("PST_0001", "T1")})
    assert [(case.patient, case.sequence) for case in cases] == [
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
def test_a_malformed_limit_is_refused(monkeypatch: pytest.MonkeyPatch, text: str):
    monkeypatch.setenv(CACHE_VARIABLE, text)
    with pytest.raises(InputError) as caught:
        cache_bytes()
    assert caught.value.fault is Fault.MALFORMED
