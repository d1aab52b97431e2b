"""Damaged tables, images, records and models end in a sentence, never in a traceback.

``NNUNET_PST_DAMAGES`` says how often all inputs together are damaged (``make faults``: 2,000).
"""

from __future__ import annotations

import os

import pytest

from mutations import TARGETS, Target
from trials import Bench

DAMAGES = int(os.environ.get("NNUNET_PST_DAMAGES", "0"))
#: Damaged in every run of the tests.
SAMPLE = {"cohort-damaged": 8, "convert-damaged": 8, "evaluate-damaged": 6, "scan-damaged": 2}
CHOSEN = [one for one in TARGETS if DAMAGES or one.scenario.name in SAMPLE]

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("target", CHOSEN, ids=lambda one: one.scenario.name)
def test_a_damaged_input_is_refused_in_a_line_or_served(
    bench: Bench, target: Target, record_property
):
    number = -(-DAMAGES // len(TARGETS)) if DAMAGES else SAMPLE[target.scenario.name]
    record_property("trials", number)
    assert [line for seed in range(number) for line in bench.damage(target, seed)] == []
