"""A synthetic cohort as files: images, masks, the table, and the truth."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_pst.dataset.annotation import largest_slice, window
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.atomic_files import (
    folder_written_whole,
    gone_if_empty,
    refusals_in_one_line,
    write_atomically,
)
from nnunet_pst.io.claims import claimed
from nnunet_pst.io.csv_text import csv_text
from nnunet_pst.io.leftovers import visible
from nnunet_pst.io.volumes import Volume, write_volume
from nnunet_pst.io.workers import Runner
from nnunet_pst.phantom.acquisition import (
    FINE_SPACING_MM,
    SCANNERS,
    SEQUENCES,
    Sequence,
    Size,
    draw_protocols,
)
from nnunet_pst.phantom.anatomy import Anatomy, draw_anatomy
from nnunet_pst.phantom.motion import (
    POSE_SHIFT_MM,
    POSE_TURN_DEGREES,
    SHIFT_MM,
    TURN_DEGREES,
    Rigid,
    draw_distortion,
    draw_rigid,
)
from nnunet_pst.phantom.patients import TEST_SHARE, PatientFacts, draw_patient, patient_rng
from nnunet_pst.phantom.scanning import Scan, make_image, make_label, scan_grid
from nnunet_pst.phantom.tissues import draw_properties

#: Slices above and below the largest one that coarse masks cover (paper, Methods).
COARSE_SLICES = 5
#: Smallest coverage of a series along z, and smallest margin around the tumor.
COVERAGE_MM, MARGIN_MM = 200.0, 15.0
TABLE, TRUTH = "cohort.csv", "truth"
#: What the cohort of a folder is, also an unfinished one.
_PLAN = Path(TRUTH, "plan.json")

COVARIATES = ("age", "sex", "size_cm", "location", "malignancy", "scanner")


@dataclass(frozen=True)
class CohortPlan:
    """The settings that decide every byte of a cohort.

    Attributes
    ----------
    coarse
        Draw the masks of training patients as annotators do: the largest slice and
        `COARSE_SLICES` on each side. Test patients' masks are always fine.
    cluttered
        Draw what hides tumors: crowded bowel, more nodes, marrow of two kinds, tumors as bright as
        other tissue, and fat suppression that fails in parts.
    """

    patients: int
    seed: int
    size: Size = "small"
    coarse: bool = False
    cluttered: bool = False


@dataclass(frozen=True)
class RenderedPatient:
    """One patient's images with their truth."""

    facts: PatientFacts
    anatomy: Anatomy
    scans: dict[Sequence, Scan]
    images: dict[Sequence, Volume]
    labels: dict[Sequence, Volume]


def render_patient(
    facts: PatientFacts, seed: int, size: Size, *, cluttered: bool = False
) -> RenderedPatient:
    """Draw one patient and scan it with all four sequences.

    T2 defines the body's position; the other sequences are moved by some millimeters.
    """
    anatomy = draw_anatomy(
        facts, FINE_SPACING_MM[size], patient_rng(seed, facts.number, 1), cluttered=cluttered
    )
    rng = patient_rng(seed, facts.number, 2)
    protocols = draw_protocols(facts, size, rng)
    properties = draw_properties(rng, cluttered=cluttered)
    pose = draw_rigid(POSE_SHIFT_MM, POSE_TURN_DEGREES, rng)
    lowest, highest = _coverage(anatomy, pose, rng)
    scans, images, labels = {}, {}, {}
    for sequence in SEQUENCES:
        still = Rigid(np.eye(3), np.zeros(3))
        motion = still if sequence == "T2" else draw_rigid(SHIFT_MM, TURN_DEGREES, rng)
        scan = Scan(
            protocol=protocols[sequence],
            grid=scan_grid(protocols[sequence], lowest, highest),
            pose=motion.after(pose),
            distortion=draw_distortion(rng) if sequence == "DWI" else None,
        )
        scans[sequence] = scan
        images[sequence] = make_image(
            anatomy, scan, SCANNERS[facts.scanner], properties, rng, fat_returns=cluttered
        )
        labels[sequence] = make_label(anatomy, scan)
    return RenderedPatient(facts, anatomy, scans, images, labels)


def _coverage(anatomy: Anatomy, pose: Rigid, rng: np.random.Generator) -> tuple[float, float]:
    """Choose the lowest and highest z of a scan: the tumor with a margin, off center."""
    index = np.argwhere(anatomy.tumor_mm > 0)[:, ::-1]
    points = index * np.asarray(anatomy.spacing_zyx_mm[::-1]) + np.asarray(anatomy.first_lps_mm)
    z = np.sum(points * pose.rotation[2], axis=1) + pose.shift[2]
    lowest, highest = float(z.min()) - MARGIN_MM, float(z.max()) + MARGIN_MM
    missing = max(0.0, COVERAGE_MM - (highest - lowest))
    share = float(rng.uniform(0.25, 0.75))
    return lowest - share * missing, highest + (1 - share) * missing


def write_cohort(folder: Path, plan: CohortPlan, *, workers: int = 1) -> Path:
    """Write a cohort and return the path of its table.

    The same plan gives the same bytes, with any number of workers. Patients that an earlier, killed
    run has finished are kept; a patient's folder is whole or absent.

    Raises
    ------
    InputError
        ``folder`` holds other files, or a cohort of another plan.
    """
    facts = [draw_patient(plan.seed, number) for number in range(plan.patients)]
    splits = assign_splits(facts)
    _check_folder(folder)
    made = [folder / TRUTH, *(folder / patient.name for patient in facts)]
    with (
        refusals_in_one_line(folder),
        claimed(folder, "phantom", below=[folder]),
        gone_if_empty(made, [folder / _PLAN]),
    ):
        _claim(folder, plan)
        left = [patient for patient in facts if not _truth_file(folder, patient).exists()]
        with Runner(workers).running() as runner:
            task = partial(_write_patient, folder, plan, splits)
            for _, outcome in runner.run(task, left, "patients", unit="patient"):
                if isinstance(outcome, Exception):
                    raise outcome
        table = folder / TABLE
        write_atomically(table, csv_text(_table_rows(folder, facts, splits, plan)))
    return table


def _check_folder(folder: Path) -> None:
    """Refuse a folder of other files, before anything is written into it."""
    marker = folder / _PLAN
    if not marker.exists() and visible(folder) - {marker.parent}:
        raise InputError(f"{folder}: is not an empty folder; choose another one", Fault.EXISTS)


def _claim(folder: Path, plan: CohortPlan) -> None:
    """Make the folder, or check that it holds the same cohort."""
    marker = folder / _PLAN
    # Earlier versions knew no clutter; their folders are of the same plan without it.
    settings = {k: v for k, v in asdict(plan).items() if k != "cluttered" or v}
    text = json.dumps(settings, indent=2) + "\n"
    if marker.exists():
        if marker.read_text(encoding="utf-8") != text:
            raise InputError(
                f"{folder}: holds a cohort made with other settings; choose another folder",
                Fault.EXISTS,
            )
    else:
        marker.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(marker, text)


def assign_splits(facts: list[PatientFacts]) -> dict[str, str]:
    """Choose the test patients (the paper's share), spread over location, malignancy and size."""
    order = sorted(facts, key=lambda one: (one.location, one.malignancy, one.size_cm, one.name))
    count = max(1, round(TEST_SHARE * len(facts))) if len(facts) > 1 else 0
    places = {int((k + 0.5) * len(order) / count) for k in range(count)}
    return {one.name: "test" if k in places else "train" for k, one in enumerate(order)}


def _truth_file(folder: Path, facts: PatientFacts) -> Path:
    return folder / TRUTH / f"{facts.name}.json"


def _write_patient(
    folder: Path, plan: CohortPlan, splits: dict[str, str], facts: PatientFacts
) -> None:
    """Write one patient's files; the truth file, written last, marks the patient as complete."""
    rendered = render_patient(facts, plan.seed, plan.size, cluttered=plan.cluttered)
    # As earlier versions called a patient that was being written.
    shutil.rmtree(folder / f"{facts.name}.unfinished", ignore_errors=True)
    with folder_written_whole(folder / facts.name) as draft:
        for sequence in SEQUENCES:
            label = rendered.labels[sequence]
            if _is_coarse(plan, splits, facts):
                label = Volume(_coarse_mask(label.array), label.grid)
            write_volume(draft / f"{sequence}.nii.gz", rendered.images[sequence])
            write_volume(draft / f"{sequence}_label.nii.gz", label)
    write_atomically(_truth_file(folder, facts), json.dumps(_truth(rendered), indent=2) + "\n")


def _is_coarse(plan: CohortPlan, splits: dict[str, str], facts: PatientFacts) -> bool:
    return plan.coarse and splits[facts.name] != "test"


def _coarse_mask(label: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Keep what a coarse annotation covers: the slices of the coarse window."""
    mask = label > 0
    shown = window(largest_slice(mask), COARSE_SLICES, len(mask))
    return np.asarray(mask & shown[:, None, None], dtype=np.uint8)


def _truth(rendered: RenderedPatient) -> dict[str, Any]:
    """Return the truth: exact motion, distortion, volume, extent."""
    reference = rendered.scans["T2"].pose
    sequences = {}
    for sequence, scan in rendered.scans.items():
        label = rendered.labels[sequence]
        slices = np.flatnonzero(label.array.any(axis=(1, 2)))
        motion = scan.pose.after(reference.inverse())
        sequences[sequence] = {
            "protocol": asdict(scan.protocol),
            "from_T2_lps_mm": motion.matrix().tolist(),
            "distortion": None if scan.distortion is None else scan.distortion.as_json(),
            "tumor_ml": round(float(label.array.sum()) * label.grid.voxel_volume_ml, 3),
            "first": int(slices[0]),
            "last": int(slices[-1]),
        }
    return {"patient": asdict(rendered.facts), "sequences": sequences}


def _table_rows(
    folder: Path, facts: list[PatientFacts], splits: dict[str, str], plan: CohortPlan
) -> Iterator[list[Any]]:
    """Give the rows of the cohort table, the header first."""
    parts = ("", "_label", "_first", "_last")
    header = [f"{sequence}{part}" for sequence in SEQUENCES for part in parts]
    yield ["patient", *header, "label_kind", "split", *COVARIATES]
    for one in facts:
        truth = json.loads(_truth_file(folder, one).read_text(encoding="utf-8"))["sequences"]
        row: list[Any] = [one.name]
        for sequence in SEQUENCES:
            image = f"{one.name}/{sequence}"
            row += [f"{image}.nii.gz", f"{image}_label.nii.gz"]
            row += [truth[sequence]["first"], truth[sequence]["last"]]
        kind = "coarse" if _is_coarse(plan, splits, one) else "fine"
        yield [*row, kind, splits[one.name], *(getattr(one, c) for c in COVARIATES)]
