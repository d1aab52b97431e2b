"""A bench for the trials of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from trials import Bench


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Inputs are made when a scenario needs them."""
    made = Bench(tmp_path_factory.mktemp("faults"))
    yield made
    made.close()
