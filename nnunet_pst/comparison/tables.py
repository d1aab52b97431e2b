"""Tables of a comparison: a mean and its interval per method, paired differences to a baseline.

`evaluation.averaging` says in which order values are averaged. Patients are what is resampled and
tested, so a patient with four sequences or three seeds counts once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from nnunet_pst.comparison.margins import margin_tests
from nnunet_pst.comparison.statistics import (
    RESAMPLES,
    Bounds,
    Interval,
    holm,
    mean_interval,
    p_of_mean,
    paired_test,
)
from nnunet_pst.comparison.strata import Stratum
from nnunet_pst.evaluation.averaging import CaseValue, patient_means
from nnunet_pst.evaluation.metrics.measures import Measure
from nnunet_pst.evaluation.score_tables import Row
from nnunet_pst.io.rounding import without_noise

ALL = "all"
Values = Mapping[str, float]


@dataclass(frozen=True)
class Design:
    """What is compared, declared before anything is looked at.

    Parameters
    ----------
    methods
        In the order of the tables.
    baseline
        The one that all others are compared with.
    measures
        All measures that the cases have.
    family
        Names of the measures that are tested and corrected for each other, over all methods; the
        first is the one that a margin is about.
    margin
        Non-inferiority margin of the family's first measure, in its unit; None for none.
    seed, resamples
        Of the bootstrap.
    """

    methods: tuple[str, ...]
    baseline: str
    measures: tuple[Measure, ...]
    family: tuple[str, ...]
    margin: float | None = None
    seed: int = 0
    resamples: int = RESAMPLES

    @property
    def others(self) -> tuple[str, ...]:
        """All methods but the baseline."""
        return tuple(name for name in self.methods if name != self.baseline)

    def interval(self, values: Sequence[float], bounds: Bounds | None) -> Interval:
        """Interval of a mean over patients; what rounding left of zero is zero."""
        found = mean_interval(values, bounds=bounds, seed=self.seed, resamples=self.resamples)
        return replace(
            found,
            mean=without_noise(found.mean),
            low=without_noise(found.low),
            high=without_noise(found.high),
            median=without_noise(found.median),
        )


def means_by_patient(rows: Sequence[Row], measure: str, method: str) -> dict[str, float]:
    """Average a measure of one method by patient; NaN where it is not defined."""
    return patient_means(
        CaseValue(str(row["patient"]), str(row["case"]), float(row[measure]))
        for row in rows
        if row["method"] == method
    )


def interval_rows(rows: Sequence[Row], design: Design, groups: Sequence[Stratum]) -> list[Row]:
    """Lay out the mean of every measure over all patients, and of the family's in every stratum."""
    table: list[Row] = []
    for stratum, level, own, measures in _looks(rows, design, groups):
        for measure in measures:
            for method in design.methods:
                values = list(means_by_patient(own, measure.name, method).values())
                found = _ended(design.interval(values, measure.bounds), measure, values)
                table.append(
                    {
                        **_head(measure, stratum, level),
                        "method": method,
                        "patients": found.patients,
                        "mean": found.mean,
                        "low": found.low,
                        "high": found.high,
                        "median": found.median,
                    }
                )
    return table


def difference_rows(rows: Sequence[Row], design: Design, groups: Sequence[Stratum]) -> list[Row]:
    """Lay out the paired difference of every method to the baseline, in each of the same places.

    Holm's correction is over all tests of the family: its measures, all methods, all patients
    together, for the signed-rank test and for that of the mean. A margin is about the family's
    first measure. Strata get intervals and no p-values: nobody declared them beforehand.
    """
    table = [
        _difference(own, design, measure, method, (stratum, level))
        for stratum, level, own, measures in _looks(rows, design, groups)
        for measure in measures
        if measure.best is not None
        for method in design.others
    ]
    family = [row for row in table if row["stratum"] == ALL and row["measure"] in design.family]
    for name in ("p", "p_mean"):
        for row, p in zip(family, holm([float(row[name]) for row in family]), strict=True):
            row[f"{name}_holm"] = p
    _add_margin(rows, design, [row for row in family if row["measure"] == design.family[0]])
    return table


def _add_margin(rows: Sequence[Row], design: Design, main: Sequence[Row]) -> None:
    """Fill in what the margin allows to say of each method."""
    measure = next(one for one in design.measures if one.name == design.family[0])
    bounds = _difference_bounds(measure)
    if design.margin is None or bounds is None:
        return
    gains = [list(_gains(rows, design, measure, str(row["method"])).values()) for row in main]
    found = margin_tests(gains, design.margin, bounds, seed=design.seed, resamples=design.resamples)
    for row, test in zip(main, found, strict=True):
        row.update(asdict(test))


def _difference_bounds(measure: Measure) -> Bounds | None:
    if measure.bounds is None:
        return None
    reach = measure.bounds[1] - measure.bounds[0]
    return -reach, reach


def _ended(found: Interval, measure: Measure, values: Sequence[float]) -> Interval:
    """End a bootstrap interval of errors at 0 where no value is below: no mean can be either."""
    defined = [value for value in values if not math.isnan(value)]
    if measure.bounds is None and measure.best == 0 and defined and min(defined) >= 0 > found.low:
        return replace(found, low=0.0)
    return found


def _gains(rows: Sequence[Row], design: Design, measure: Measure, method: str) -> dict[str, float]:
    """By how much a method is better than the baseline, by patient."""
    ours = means_by_patient(rows, measure.name, method)
    theirs = means_by_patient(rows, measure.name, design.baseline)
    sign = 1.0 if measure.larger_is_better else -1.0
    return {patient: sign * (ours[patient] - theirs[patient]) for patient in ours}


def _difference(
    rows: Sequence[Row], design: Design, measure: Measure, method: str, where: tuple[str, str]
) -> Row:
    gains = list(_gains(rows, design, measure, method).values())
    sign = 1.0 if measure.larger_is_better else -1.0
    bounds = _difference_bounds(measure)
    found = design.interval([sign * gain for gain in gains], bounds)
    test = paired_test(gains)
    p, p_mean = math.nan, math.nan
    if where[0] == ALL:
        options = {"seed": design.seed, "resamples": design.resamples}
        p, p_mean = test.p, p_of_mean(gains, bounds=bounds, **options)
    return {
        **_head(measure, *where),
        "method": method,
        "baseline": design.baseline,
        "patients": found.patients,
        "difference": found.mean,
        "low": found.low,
        "high": found.high,
        "p": p,
        "p_holm": math.nan,
        "p_mean": p_mean,
        "p_mean_holm": math.nan,
        "effect": test.effect,
        "wins": test.wins,
        "ties": test.ties,
        "losses": test.losses,
        "p_noninferior": math.nan,
        "p_equivalent": math.nan,
        "noninferior": "",
        "equivalent": "",
    }


def _looks(
    rows: Sequence[Row], design: Design, groups: Sequence[Stratum]
) -> list[tuple[str, str, list[Row], list[Measure]]]:
    """All places that are looked at: stratum, level, its rows, the measures that are shown."""
    family = [measure for measure in design.measures if measure.name in design.family]
    places = [(ALL, ALL, list(rows), list(design.measures))]
    for group in groups:
        for level in group.order:
            own = [row for row in rows if group.levels.get(str(row["case"])) == level]
            places.append((group.name, level, own, family))
    return places


def _head(measure: Measure, stratum: str, level: str) -> Row:
    return {"measure": measure.name, "stratum": stratum, "level": level}
