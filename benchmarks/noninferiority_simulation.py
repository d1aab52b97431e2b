"""How often tests claim "not worse by more than M", or name a winner, where that is false.

    python benchmarks/noninferiority_simulation.py --out benchmarks/results

All methods are worse than the baseline by exactly the margin, so that every claim is false: each
found tumor is a little worse (``quality``), or more tumors are lost (``losses``). Tests are
one-sided at 2.5 % and corrected over the methods (Holm). ``equal`` has the share of studies that
show a method as good as the baseline not to be worse. ``winner`` has methods that lose more tumors,
draw the others better, and have the baseline's mean: every named winner is false.

A file per part is written when it is finished; a part whose file is there is not computed again.
Remove the folder ``noninferiority`` before changing ``--seed``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import stats
from simulated_studies import LOST, SIZES, Study, at_margin, balanced, differences

from nnunet_pst.comparison.bounded_means import random_weights

LEVEL = 0.025
METHODS = (1, 3, 10)
MARGINS = (0.05, 0.1)
RESAMPLES = 2000
_AT_ONCE = 2000

Test = Callable[[np.ndarray, float], np.ndarray]


@lru_cache(maxsize=1)
def signs(patients: int) -> np.ndarray:
    """(resamples, patients) random signs; all that there are for few patients."""
    if 2**patients <= RESAMPLES:
        return np.array(list(itertools.product((-1.0, 1.0), repeat=patients)))
    return np.random.default_rng(patients).choice((-1.0, 1.0), (RESAMPLES, patients))


@lru_cache(maxsize=1)
def counts(patients: int) -> np.ndarray:
    """(resamples, patients) share of each patient in a resample."""
    generator = np.random.default_rng(patients)
    return generator.multinomial(patients, np.full(patients, 1 / patients), RESAMPLES) / patients


def sign_flip(values: np.ndarray, margin: float) -> np.ndarray:
    """P-values of (patients, samples) shifted differences whose signs are exchanged."""
    shifted = values + margin
    drawn = signs(len(values)) @ np.abs(shifted)
    return (1 + (drawn >= shifted.sum(0) - 1e-9).sum(0)) / (1 + len(drawn))


def signed_rank(values: np.ndarray, margin: float) -> np.ndarray:
    """P-values of Wilcoxon's test of shifted differences, by exchanged signs of the ranks."""
    shifted = np.round(values + margin, 9)
    ranks = stats.rankdata(np.abs(shifted), axis=0)
    ranks[shifted == 0] = 0
    drawn = signs(len(values)) @ ranks
    observed = (np.sign(shifted) * ranks).sum(0)
    return (1 + (drawn >= observed - 1e-9).sum(0)) / (1 + len(drawn))


def bootstrap_t(values: np.ndarray, margin: float) -> np.ndarray:
    """P-values of a studentized bootstrap of the mean difference."""
    drawn = counts(len(values))
    mean, spread = values.mean(0), np.maximum(values.std(0), 1e-9)
    means = drawn @ values
    spreads = np.sqrt(np.maximum(drawn @ values**2 - means**2, (1e-3 * spread) ** 2))
    observed = (mean + margin) / spread
    return (1 + ((means - mean) / spreads >= observed).sum(0)) / (1 + RESAMPLES)


def betting(values: np.ndarray, margin: float) -> np.ndarray:
    """P-values of a bet against the margin: the mean wealth over a grid of stakes, inverted."""
    stakes = np.arange(1, 51) / 51 / (1 - margin)
    wealth = np.mean([np.exp(np.log1p(s * (values + margin)).sum(0)) for s in stakes], axis=0)
    return np.minimum(1.0, 1 / wealth)


def gaffke(values: np.ndarray, margin: float) -> np.ndarray:
    """P-values of Gaffke's bound with the worst difference, -1."""
    weights = random_weights(0, len(values), RESAMPLES)
    means = weights[:, :-1] @ values - weights[:, -1:]
    return (1 + (means <= -margin).sum(0)) / (1 + RESAMPLES)


TESTS: dict[str, Test] = {
    "sign flip of shifted differences": sign_flip,
    "Wilcoxon of shifted differences": signed_rank,
    "bootstrap-t": bootstrap_t,
    "betting": betting,
    "Gaffke": gaffke,
}


CHOSEN = "Gaffke"
BOTH = (signed_rank, gaffke)
RULES = (
    "Wilcoxon, and Student's interval excludes 0",
    "Wilcoxon, and Gaffke's interval excludes 0",
    "Wilcoxon, and Gaffke's p, both corrected",
)


def p_values(test: Test, drawn: np.ndarray, margin: float) -> np.ndarray:
    """(studies, methods) p-values of (studies, patients, methods) differences."""
    studies, patients, methods = drawn.shape
    flat = drawn.transpose(1, 0, 2).reshape(patients, -1)
    parts = np.array_split(flat, max(1, flat.shape[1] // _AT_ONCE), axis=1)
    return np.concatenate([test(part, margin) for part in parts]).reshape(studies, methods)


def claims(p: np.ndarray) -> dict[str, float]:
    """Share of studies with a claim about any of the first methods, corrected for their number.

    Holm's procedure claims anything where the smallest p, times the number of tests, is small.
    """
    return {str(n): float((n * p[:, :n].min(1) < LEVEL).mean()) for n in METHODS}


def corrected(p: np.ndarray) -> np.ndarray:
    """(studies, methods) p-values after Holm's correction over the methods of each study."""
    order = np.argsort(p, axis=1, kind="stable")
    factors = np.arange(p.shape[1], 0, -1)
    raised = np.maximum.accumulate(np.take_along_axis(p, order, 1) * factors, axis=1)
    result = np.empty_like(p)
    np.put_along_axis(result, order, np.minimum(1, raised), 1)
    return result


def simulate(kind: str, patients: int, studies: int, others: int, seed: int) -> list[dict]:
    """Rows of one part: a kind and a number of patients, over all ways to draw studies.

    The chosen test is measured on all ``studies``, the rejected ones on the first ``others``.
    """
    rows = []
    ways = list(itertools.product(LOST, (0.0, 0.5), (1, 4)))
    for lost, equal, cases in [way for way in ways if kind != "equal" or way[1:] == (0.0, 1)]:
        generator = np.random.default_rng((seed, patients, round(100 * lost)))
        study = Study(patients, lost, equal=equal, most_cases=cases)
        where = {"kind": kind, "patients": patients, "lost": lost, "equal": equal, "cases": cases}
        where |= {"studies": studies}
        if kind == "winner":
            drawn = differences(balanced(study, 0.06), generator, others, max(METHODS))
            where["studies"] = others
            rows += [where | row for row in winners(drawn)]
            continue
        for margin in MARGINS:
            truth = study if kind == "equal" else at_margin(study, margin, kind)
            drawn = differences(truth, generator, studies, max(METHODS))
            for name, test in TESTS.items():
                # The rejected tests need no precision: they fail by far.
                own = drawn if name == CHOSEN else drawn[:others]
                found = {"margin": margin, "test": name, "studies": len(own)}
                rows.append(where | found | {"claims": claims(p_values(test, own, margin))})
    return rows


def winners(drawn: np.ndarray) -> list[dict]:
    """False winners: by the signed-rank test with an interval that excludes zero, or two tests."""
    sided = [(p_values(test, drawn, 0.0), p_values(test, -drawn, 0.0)) for test in BOTH]
    ranks, mean = (np.minimum(1, 2 * np.minimum(above, below)) for above, below in sided)
    student = np.nan_to_num(stats.ttest_1samp(drawn, 0.0, axis=1).pvalue, nan=1)
    found: dict[str, dict[str, float]] = {name: {} for name in RULES}
    for n in METHODS:
        shown = corrected(ranks[:, :n]) < 0.05
        means = (student[:, :n] < 0.05, mean[:, :n] < 0.05, corrected(mean[:, :n]) < 0.05)
        for name, excludes in zip(RULES, means, strict=True):
            found[name][str(n)] = float((shown & excludes).any(1).mean())
    return [{"test": name, "claims": shares} for name, shares in found.items()]


def worst(rows: list[dict], kinds: tuple[str, ...], patients: int) -> dict[str, float]:
    """Highest share of claims of each test over everything but the number of patients."""
    own = [row for row in rows if row["kind"] in kinds and row["patients"] == patients]
    names = {row["test"]: row["studies"] for row in own}
    return {
        f"{name} ({studies})": max(
            max(row["claims"].values()) for row in own if row["test"] == name
        )
        for name, studies in names.items()
    }


def print_summary(rows: list[dict]) -> None:
    """Print the highest shares of false claims, and the shares of true ones."""
    reach = ", ".join(
        f"{100 * 1.96 * math.sqrt(0.05 * 0.95 / n):.1f} of {n}"
        for n in sorted({row["studies"] for row in rows})
    )
    print("kind, patients, tests (studies) with their highest share of false claims in %")
    print(f"5 % have an interval of +-{reach} studies")
    for kinds in (("quality",), ("losses",), ("winner",)):
        for patients in sorted({row["patients"] for row in rows}):
            shares = worst(rows, kinds, patients)
            cells = (f"{name} {100 * share:.1f}" for name, share in shares.items())
            print(*kinds, patients, *cells, sep="\t")
    sizes = sorted({row["patients"] for row in rows})
    print("share of true claims of one method that is equal, in %")
    for margin, lost, patients in itertools.product(MARGINS, LOST, sizes):
        cells = [
            f"{row['test']} {100 * row['claims']['1']:.1f}"
            for row in rows
            if (row["kind"], row["patients"], row.get("margin")) == ("equal", patients, margin)
            and (row["lost"], row["equal"], row["cases"]) == (lost, 0.0, 1)
        ]
        print(margin, lost, patients, *cells, sep="\t")


def main() -> None:
    """Simulate what is not there yet, and print a summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--others", type=int, default=1000, help="studies of the rejected tests")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--out", type=Path, required=True, help="folder for the JSON")
    arguments = parser.parse_args()
    folder = arguments.out / "noninferiority"
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for patients, kind in itertools.product(
        arguments.sizes, ("quality", "losses", "equal", "winner")
    ):
        path = folder / f"{patients:03d}-{kind}.json"
        if not path.is_file():
            part = simulate(kind, patients, arguments.studies, arguments.others, arguments.seed)
            path.write_text("".join(f"{json.dumps(row)}\n" for row in part))
        rows += [json.loads(line) for line in path.read_text().splitlines()]
    print_summary(rows)


if __name__ == "__main__":
    main()
