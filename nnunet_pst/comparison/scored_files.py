"""Which files a comparison has scored, by their digests, and whether they are still these files.

No folder is kept, because its name may be a patient's. So whoever asks names the folders again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from nnunet_pst.comparison.methods import Method, Part
from nnunet_pst.comparison.results import Comparison, ScoredFile
from nnunet_pst.evaluation.prediction_names import listed
from nnunet_pst.evaluation.score_tables import Row
from nnunet_pst.io.digests import file_digest
from nnunet_pst.io.image_paths import IMAGE_SUFFIXES

_DIGITS = 16
#: Method of the references; no method has an empty name.
_REFERENCE = ""


def scored_files(parts: Sequence[Part]) -> list[Row]:
    """List labels and masks of all methods with the first digits of their SHA-256."""
    labels = {case.name: case.label for part in parts for case in part.references.cases}
    found = [ScoredFile(_REFERENCE, 0, name, _digest(path)) for name, path in labels.items()]
    for part in parts:
        for case in part.references.cases:
            path = part.folder / f"{case.name}{part.references.file_ending}"
            found.append(ScoredFile(part.method, part.repeat, case.name, _digest(path)))
    return [asdict(one) for one in found]


def changed_labels(comparison: Comparison, dataset: Path) -> list[str]:
    """Name the cases whose label is not the one that was scored, or is gone."""
    return _changed(comparison, _REFERENCE, (dataset / "labelsTr", dataset / "labelsTs"))


def changed_predictions(comparison: Comparison, methods: Sequence[Method]) -> dict[str, list[str]]:
    """Name the cases of each method whose masks are not those that were scored."""
    found = {one.name: _changed(comparison, one.name, one.folders) for one in methods}
    return {name: cases for name, cases in found.items() if cases or name not in comparison.methods}


def _changed(comparison: Comparison, method: str, folders: Sequence[Path]) -> list[str]:
    """Compare the digests of each case's files, of all repeats, with those that were scored."""
    known: dict[str, list[str]] = {}
    for one in comparison.files:
        if one.method == method:
            known.setdefault(one.case, []).append(one.digest)
    now: dict[str, list[str]] = {case: [] for case in known}
    for folder in folders:
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            case = next(
                (path.name.removesuffix(end) for end in IMAGE_SUFFIXES if path.name.endswith(end)),
                "",
            )
            if case in now:
                now[case].append(_digest(path))
    return sorted(case for case in known if sorted(known[case]) != sorted(now[case]))


def said_of_changes(labels: Sequence[str], predictions: Mapping[str, Sequence[str]]) -> list[str]:
    """Warn in a line of what has changed; empty where nothing has."""
    parts = [f"labels of {listed(labels)}"] if labels else []
    parts += [
        f"masks of {name} ({listed(cases)})" if cases else f"{name}, which was not compared"
        for name, cases in predictions.items()
    ]
    if not parts:
        return []
    return [
        f"Changed since compare ran: {'; '.join(parts)}. These numbers are of the earlier files; "
        "compare again."
    ]


def _digest(path: Path) -> str:
    return file_digest(path)[:_DIGITS]
