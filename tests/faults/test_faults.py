"""Whatever happens to a verb, the same command goes on to the same bytes and leaves nothing.

``NNUNET_PST_FAULTS`` says at how many places of a scenario each fault is tried (``make faults``:
200); without it, a few quick scenarios are tried at a few places.
"""

from __future__ import annotations

import os
import random

import pytest

from injection import ERRORS
from scenarios import SCENARIOS
from trials import Bench, scenario_named

PLACES = int(os.environ.get("NNUNET_PST_FAULTS", "0"))
#: Tried in every run of the tests, with the number of places.
SAMPLE = {"scan": 4, "cohort": 3, "convert": 3, "evaluate": 2}
CHOSEN = (
    os.environ.get("NNUNET_PST_FAULTS_OF", "").split() or [one.name for one in SCENARIOS]
    if PLACES
    else list(SAMPLE)
)

pytestmark = pytest.mark.slow


def places(name: str, last: int, share: float = 1.0) -> list[int]:
    """Choose numbers from 1 to ``last``, with both ends."""
    most = max(1, round((PLACES or SAMPLE[name]) * share))
    if last <= most:
        return list(range(1, last + 1))
    within = random.Random(name).sample(range(2, last), max(0, most - 2))
    return sorted({*within, last, *([1] if most > 1 else [])})


@pytest.mark.parametrize("name", CHOSEN)
def test_killed_at_any_operation_it_goes_on(bench: Bench, name: str, record_property):
    scenario = scenario_named(name)
    chosen = places(name, bench.expected(scenario).operations)
    record_property("trials", len(chosen))
    assert [line for at in chosen for line in bench.kill(scenario, at)] == []


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("name", CHOSEN)
def test_a_failing_write_is_said_and_the_next_run_goes_on(
    bench: Bench, name: str, kind: str, record_property
):
    scenario = scenario_named(name)
    chosen = places(name, bench.expected(scenario).writes, 0.25)
    record_property("trials", len(chosen))
    assert [line for at in chosen for line in bench.fail(scenario, kind, at)] == []


@pytest.mark.parametrize("name", CHOSEN)
def test_of_two_at_once_one_is_done(bench: Bench, name: str, record_property):
    scenario = scenario_named(name)
    chosen = places(name, bench.expected(scenario).operations, 0.1)
    record_property("trials", len(chosen))
    assert [line for at in chosen for line in bench.two(scenario, at)] == []
