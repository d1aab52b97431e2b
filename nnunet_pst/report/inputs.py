"""Everything a report is made from, read and checked before anything is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nnunet_pst.comparison.results import Comparison
from nnunet_pst.report.dataset_facts import DatasetFacts
from nnunet_pst.report.patient_flow import Scanned
from nnunet_pst.report.tables import Table
from nnunet_pst.report.training_logs import Curve


@dataclass(frozen=True)
class PaperTable:
    """One of the paper's tables; without a table, ``missing`` says how to get it."""

    title: str
    table: Table | None
    missing: str = ""


@dataclass(frozen=True)
class Sources:
    """What was given.

    Parameters
    ----------
    comparison
        The comparison that is reported.
    dataset
        Its raw dataset; None where none was given or found.
    curves
        From the training logs of its dataset; None where none were given or found.
    paper_tables
        Tables 1 to 4, in order.
    changed
        What has changed since the comparison, in lines.
    scanned
        Numbers of the scan that the cohort came from; None where it was not given.
    looked_at
        Of what it is known whether it has changed, in words.
    """

    comparison: Comparison
    dataset: DatasetFacts | None
    curves: Sequence[Curve] | None
    paper_tables: Sequence[PaperTable]
    changed: Sequence[str] = ()
    scanned: Scanned | None = None
    looked_at: str = ""
