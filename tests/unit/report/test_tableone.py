"""Table 1 against `tableone` (Pollard et al. 2018, doi 10.1093/jamiaopen/ooy012)."""

from __future__ import annotations

import random
import re

import pytest

from nnunet_pst.report.cohort_description import Line, describe_cohort

#: What tableone 0.9.6 printed for `cohort` (2026-11-28): p-values, largest standardized difference
#: of any two splits, and cells of train, val and test.
P = {"age": 0.159873, "location": 0.271223}
SMD = {"age": 0.520, "location": 0.571}
CELLS = {
    ("age", "mean (SD)"): ("52.4 (12.1)", "55.5 (11.4)", "57.8 (8.3)"),
    ("location", "ilium"): ("10 (21.7)", "10 (45.5)", "5 (22.7)"),
    ("location", "pubis"): ("19 (41.3)", "8 (36.4)", "9 (40.9)"),
    ("location", "sacrum"): ("17 (37.0)", "4 (18.2)", "8 (36.4)"),
}


def cohort() -> list[dict[str, str]]:
    """Ninety patients in three splits, older toward the test split."""
    draw = random.Random(4)
    rows = []
    for n in range(90):
        age = round(draw.gauss(50 + 3 * (n % 4), 12))
        places = ["sacrum", "ilium", "pubis"] if n % 3 else ["sacrum", "pubis"]
        row = {"patient": f"P{n}", "split": ("train", "train", "val", "test")[n % 4]}
        rows.append({**row, "age": str(age), "location": draw.choice(places)})
    return rows


def numbers(text: str) -> list[float]:
    return [float(found) for found in re.findall(r"\d+(?:\.\d+)?", text)]


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    return describe_cohort(cohort())[1]


@pytest.mark.parametrize("name", P)
def test_tests_and_differences_are_those_of_tableone(lines: list[Line], name: str) -> None:
    first = next(line for line in lines if line.characteristic == name)
    assert first.p == pytest.approx(P[name], abs=1e-6)
    assert first.smd == pytest.approx(SMD[name], abs=5e-4)


@pytest.mark.parametrize(("name", "level"), CELLS)
def test_cells_are_those_of_tableone(lines: list[Line], name: str, level: str) -> None:
    own = [line for line in lines if line.characteristic == name]
    line = next(line for line in own if line.level.split(" ")[0] == level.split(" ")[0])
    for ours, theirs in zip(line.cells, CELLS[name, level], strict=True):
        assert numbers(ours)[:2] == pytest.approx(numbers(theirs), abs=0.051)


@pytest.mark.filterwarnings("ignore")  # its own, of new pandas
def test_tableone_itself_still_says_so() -> None:
    tableone = pytest.importorskip("tableone", reason="tableone is not installed (an oracle)")
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(cohort()).astype({"age": float})
    table = tableone.TableOne(
        frame,
        columns=["age", "location"],
        categorical=["location"],
        groupby="split",
        pval=True,
        pval_digits=6,
        smd=True,
        missing=False,
    ).tableone
    for name in P:
        rows = table[[str(key[0]).startswith(name) for key in table.index]]
        found = [float(p) for p in rows[rows.columns[-1]] if p]
        assert found == pytest.approx([P[name]], abs=1e-6)
