"""nnU-Net's preprocessed cases in memory, which remember what is read, and batches of them."""

from __future__ import annotations

import numpy as np
import torch

from nnunet_pst.labels import IGNORE
from nnunet_pst.nnunet.training.case_reader import CaseReader, SliceCache, case_slices
from nnunet_pst.nnunet.training.dataloading import BagBatches, BatchesOnDevice
from nnunet_pst.nnunet.training.settings import TrainingSettings
from nnunet_pst.nnunet.training.slice_sampling import SliceSampler

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
        self.shape = array.shape
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
    settings = {"intensity": "host", "unknown_is_background": False, "cache": SliceCache(2**30)}
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


CPU = torch.device("cpu")


def made(batches: BagBatches, *indices: int, threads: int = 0) -> list[dict]:
    """Batches as the host takes them."""
    return list(BatchesOnDevice(batches, list(indices), device=CPU, threads=threads))


def as_bytes(batch: dict) -> tuple[bytes, bytes, tuple[str, ...]]:
    return batch["data"].numpy().tobytes(), batch["target"].numpy().tobytes(), tuple(batch["keys"])


def bytes_of(batches: BagBatches, *indices: int, threads: int = 0) -> list[tuple]:
    return [as_bytes(batch) for batch in made(batches, *indices, threads=threads)]
