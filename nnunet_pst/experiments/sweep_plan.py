"""What a sweep trains: input strategies, methods, jobs, and the paper's tables as lists of them.

Only lists: this module knows neither nnU-Net nor files nor clusters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product

from nnunet_pst.errors import Fault, InputError
from nnunet_pst.nnunet.training.settings import TrainingSettings

ALL_SEQUENCE, FUSION = "all-sequence", "fusion"
#: Begins the text of a fusion strategy on the command line.
_FUSION_PREFIX = "fusion:"
#: The paper's tables that a sweep makes.
PAPER_TABLES = ("2", "3", "4")
#: The table of methods that were listed by hand.
OWN_TABLE = "methods"
#: Table 2 of the paper: 3D nnU-Net, 2D MobileNetV2, 2.5D MobileNetV2.
ARCHITECTURES = ("3d_fullres", "2d_mobilenetv2", "2d_5")
#: The paper's own method, on which its tables 3 and 4 rest.
PAPER_CONFIGURATION = "2d_5"
#: Epochs for which both nnU-Net and this plug-in have a trainer.
EPOCHS = (5, 20, 100)
#: nnU-Net's name for plans, and the seed that ours have unless told otherwise.
PLANS = "nnUNetPlans"
DEFAULT_SEED = TrainingSettings().seed
_STOCK_TRAINER, _OUR_TRAINER = "nnUNetTrainer", "nnUNetTrainerPST25D"
#: Channels of the paper's T2-fusion model, the reference first.
T2_FUSION = ("T2", "CET1")


@dataclass(frozen=True, order=True)
class Strategy:
    """Which sequences a model learns from, and how.

    Attributes
    ----------
    layout
        ``all-sequence``: every sequence is its own case; ``fusion``: sequences are channels.
    sequences
        In table order; of a fusion the channels, the reference first.
    """

    layout: str
    sequences: tuple[str, ...]

    @property
    def label(self) -> str:
        """As on the command line: ``T1+T2``, ``fusion:T2+CET1``."""
        prefix = _FUSION_PREFIX if self.layout == FUSION else ""
        return prefix + "+".join(self.sequences)

    @property
    def tested(self) -> tuple[str, ...]:
        """The sequences that the model segments: all of its own, of a fusion the first."""
        return self.sequences[:1] if self.layout == FUSION else self.sequences

    def dataset(self, base: str, everything: Sequence[str]) -> str:
        """Name the strategy's dataset: ``base`` itself for all sequences, else one beside it.

        A number in the name is left to ``base``, because nnU-Net needs unique numbers.
        """
        if self.layout == ALL_SEQUENCE and self.sequences == tuple(everything):
            return base
        stem = re.sub(r"^Dataset\d{3}_", "Dataset", base)
        return "_".join([stem, *([FUSION] if self.layout == FUSION else []), *self.sequences])


@dataclass(frozen=True, order=True)
class Method:
    """A line of a table: an input strategy and a configuration of the plans."""

    strategy: Strategy
    configuration: str


@dataclass(frozen=True, order=True)
class Job:
    """One training, with the prediction and evaluation of the test patients.

    Attributes
    ----------
    dataset, trainer
        nnU-Net's names.
    seed
        Of weights and draws where the trainer has a seed; else the number of a repeat.
    """

    method: Method
    dataset: str
    trainer: str
    fold: int
    seed: int

    @property
    def name(self) -> str:
        """Name of the job and its folder."""
        configuration = self.method.configuration
        return f"{self.dataset}__{configuration}__fold_{self.fold}__seed_{self.seed}"

    @property
    def seeded(self) -> bool:
        """Whether the trainer uses the seed; nnU-Net's own trainers take none."""
        return self.trainer.startswith(_OUR_TRAINER)

    @property
    def plans(self) -> str:
        """Name of the plans, by the seed: nnU-Net keeps the results of other plans apart."""
        return PLANS if self.seed == DEFAULT_SEED else f"{PLANS}_seed{self.seed}"


@dataclass(frozen=True)
class Budget:
    """Length of a training: seconds, epochs, or, with neither, the trainer's own.

    Attributes
    ----------
    epochs
        One of `EPOCHS`. An epoch of stock nnU-Net has 250 iterations; one of the 2.5D trainer as
        many as there are training patients, at least 50.
    """

    seconds: float | None = None
    epochs: int | None = None

    def __str__(self) -> str:
        if self.seconds is not None:
            return f"{self.seconds:g} seconds"
        return "full" if self.epochs is None else f"{self.epochs} epochs"

    @classmethod
    def read(cls, text: str) -> Budget:
        """Read a budget as `str` writes it."""
        number, _, unit = text.partition(" ")
        if unit == "seconds":
            return cls(seconds=float(number))
        return cls(epochs=int(number)) if unit == "epochs" else cls()

    def trainer(self, *, ours: bool) -> str:
        """Name the trainer of this budget: of our configurations or of nnU-Net's."""
        name = _OUR_TRAINER if ours else _STOCK_TRAINER
        if self.seconds is not None:
            return f"{name}Seconds"
        return name if self.epochs is None else f"{name}_{self.epochs}epochs"


def parse_strategy(text: str, everything: Sequence[str]) -> Strategy:
    """Read ``all``, ``T1+T2`` or ``fusion:T2+CET1``.

    Parameters
    ----------
    everything
        The cohort's sequences, in table order; a strategy's sequences get the same order.

    Raises
    ------
    InputError
        The cohort has no such sequence, one is named twice, or a fusion has one channel.
    """
    if text == "all":
        return Strategy(ALL_SEQUENCE, tuple(everything))
    fused = text.startswith(_FUSION_PREFIX)
    names = text.removeprefix(_FUSION_PREFIX).split("+")
    unknown = [name for name in names if name not in everything]
    if unknown:
        raise InputError(
            f"strategy '{text}': the cohort has no sequence {', '.join(map(repr, unknown))}; it "
            f"has {', '.join(everything) or 'none'}; write such as all, T1+T2 or fusion:T2+CET1",
            Fault.UNKNOWN_NAME,
        )
    if len(set(names)) < len(names) or (fused and len(names) < 2):
        raise InputError(
            f"strategy '{text}': name each sequence once, and of a fusion two channels or more",
            Fault.REPEATED if len(set(names)) < len(names) else Fault.TOO_FEW,
        )
    if fused:
        return Strategy(FUSION, tuple(names))
    return Strategy(ALL_SEQUENCE, tuple(name for name in everything if name in names))


def input_strategies(everything: Sequence[str]) -> list[Strategy]:
    """Return every proper subset of the sequences: of the paper's four, 4 + 6 + 4 = 14."""
    return [
        Strategy(ALL_SEQUENCE, chosen)
        for count in range(1, len(everything))
        for chosen in combinations(everything, count)
    ]


def methods_of_table(
    table: str, everything: Sequence[str], configurations: Sequence[str] | None = None
) -> list[Method]:
    """Return the lines of one of the paper's tables.

    Parameters
    ----------
    table
        One of `PAPER_TABLES`.
    everything
        The cohort's sequences.
    configurations
        Instead of the paper's own.

    Raises
    ------
    InputError
        The cohort lacks the sequences of the table.
    """
    chosen = configurations or (ARCHITECTURES if table == "2" else (PAPER_CONFIGURATION,))
    whole = Strategy(ALL_SEQUENCE, tuple(everything))
    if table == "2":
        strategies = [whole]
    elif table == "3":
        strategies = input_strategies(everything)
        if not strategies:
            raise InputError("table 3 needs a cohort of two sequences or more", Fault.TOO_FEW)
    else:
        lacking = [name for name in T2_FUSION if name not in everything]
        if lacking:
            raise InputError(
                f"table 4 needs the sequences {' and '.join(T2_FUSION)}; the cohort has no "
                f"{' and no '.join(lacking)}; use --strategies with its own sequences",
                Fault.MISSING,
            )
        strategies = [whole, Strategy(FUSION, T2_FUSION)]
    return [Method(*pair) for pair in product(strategies, dict.fromkeys(chosen))]
