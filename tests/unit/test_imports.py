"""Who may import whom (docs/architecture.md), read from the source; and what stays unloaded."""

from __future__ import annotations

import ast
import fnmatch
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nnunet_pst.cli.main import VERBS

CHECKOUT = Path(__file__).parents[2]

#: The house from the ground up. A module imports only from lines above its own; `*` stands for
#: the modules of a folder that don't import each other. A new module gets a line of its own here.
HOUSE: dict[str, list[str]] = {
    "ENTRANCE": ["nnunet_pst", "nnunet_pst.errors"],
    "GROUND": [
        "nnunet_pst.whole_files",
        "nnunet_pst.geometry",
        "nnunet_pst.labels",
        "nnunet_pst.settings",
        "nnunet_pst.number_columns",
        "nnunet_pst.rounding",
        "nnunet_pst.csv_text",
        "nnunet_pst.case_table",
        "nnunet_pst.cohort_columns",
        "nnunet_pst.image_paths",
        "nnunet_pst.cohort",
        "nnunet_pst.covariates",
        "nnunet_pst.layouts",
        "nnunet_pst.annotation",
        "nnunet_pst.splits",
        "nnunet_pst.slices",
        "nnunet_pst.sweep_plan",
        "nnunet_pst.job_status",
        "nnunet_pst.sweep_record",
        "nnunet_pst.sweep_tables",
    ],
    "WORKSHOP": [
        "nnunet_pst.volumes",
        "nnunet_pst.workers",
        "nnunet_pst.mask_grids",
        "nnunet_pst.dicom",
        "nnunet_pst.dicom.values",
        "nnunet_pst.dicom.b_values",
        "nnunet_pst.dicom.files",
        "nnunet_pst.dicom.pixel_lengths",
        "nnunet_pst.dicom.headers",
        "nnunet_pst.dicom.series",
        "nnunet_pst.dicom.stack_geometry",
        "nnunet_pst.dicom.jpeg_frames",
        "nnunet_pst.dicom.pixels",
        "nnunet_pst.dicom.polygons",
        "nnunet_pst.dicom.structures",
        "nnunet_pst.dicom.segments",
        "nnunet_pst.dicom.addresses",
        "nnunet_pst.dicom.sequence_rules",
        "nnunet_pst.dicom.dynamic",
        "nnunet_pst.dicom.choice",
        "nnunet_pst.dicom.studies",
        "nnunet_pst.dicom.scanned_rows",
        "nnunet_pst.dicom.scanning",
        "nnunet_pst.image_sources",
        "nnunet_pst.registration",
        "nnunet_pst.registration.transforms",
        "nnunet_pst.registration.resampling",
        "nnunet_pst.registration.preparation",
        "nnunet_pst.registration.ants_backend",
        "nnunet_pst.registration.simpleitk_backend",
        "nnunet_pst.registration.quality",
        "nnunet_pst.registration.policy",
        "nnunet_pst.registration.pictures",
        "nnunet_pst.registration.cohort",
        "nnunet_pst.carried_labels",
        "nnunet_pst.case_building",
        "nnunet_pst.intensity",
        "nnunet_pst.augmentation",
        "nnunet_pst.network",
        "nnunet_pst.network.bags",
        "nnunet_pst.network.folding",
        "nnunet_pst.network.unet25d",
        "nnunet_pst.network.openvino_engine",
        "nnunet_pst.network.encoder_weights",
        "nnunet_pst.losses",
        "nnunet_pst.metrics",
        "nnunet_pst.metrics.measures",
        "nnunet_pst.metrics.overlap",
        "nnunet_pst.metrics.lesions",
        "nnunet_pst.metrics.extent",
        "nnunet_pst.metrics.surface",
        "nnunet_pst.metrics.window_distance",
        "nnunet_pst.metrics.case",
        "nnunet_pst.references",
        "nnunet_pst.prediction_names",
        "nnunet_pst.scores",
        "nnunet_pst.overlays",
        "nnunet_pst.case_scoring",
        "nnunet_pst.evaluation_draft",
        "nnunet_pst.evaluation",
        "nnunet_pst.cohort_statistics",
        "nnunet_pst.method_names",
        "nnunet_pst.compared_methods",
        "nnunet_pst.same_masks",
        "nnunet_pst.strata",
        "nnunet_pst.cohort_table",
        "nnunet_pst.comparison_tables",
        "nnunet_pst.report",
        "nnunet_pst.report.reading",
        "nnunet_pst.report.words",
        "nnunet_pst.report.training_logs",
        "nnunet_pst.report.comparison",
        "nnunet_pst.report.comparison_folder",
        "nnunet_pst.report.dataset_facts",
        "nnunet_pst.report.canvas",
        "nnunet_pst.report.paired_figures",
        "nnunet_pst.report.score_figures",
        "nnunet_pst.report.difference_figure",
        "nnunet_pst.report.volume_agreement",
        "nnunet_pst.report.learning_curves",
        "nnunet_pst.report.galleries",
        "nnunet_pst.report.conclusions",
        "nnunet_pst.report.tables",
        "nnunet_pst.report.sources",
        "nnunet_pst.report.paper_tables",
        "nnunet_pst.report.checklist",
        "nnunet_pst.report.answers",
        "nnunet_pst.report.summary",
        "nnunet_pst.report.page",
        "nnunet_pst.report.writing",
        "nnunet_pst.comparison_run",
        "nnunet_pst.segmentation",
        "nnunet_pst.segmentation.outlines",
        "nnunet_pst.segmentation.measures",
        "nnunet_pst.segmentation.montage",
        "nnunet_pst.segmentation.viewer_labels",
        "nnunet_pst.segmentation.dicom_source",
        "nnunet_pst.segmentation.dicom_segmentation",
        "nnunet_pst.segmentation.structure_set",
        "nnunet_pst.segmentation.models",
        "nnunet_pst.segmentation.study_input",
        "nnunet_pst.segmentation.dicom_studies",
        "nnunet_pst.segmentation.space",
        "nnunet_pst.segmentation.study",
        "nnunet_pst.segmentation.page",
        "nnunet_pst.segmentation.batch",
        "nnunet_pst.phantom",
        "nnunet_pst.phantom.shapes",
        "nnunet_pst.phantom.noise",
        "nnunet_pst.phantom.tissues",
        "nnunet_pst.phantom.patients",
        "nnunet_pst.phantom.tumor",
        "nnunet_pst.phantom.organs",
        "nnunet_pst.phantom.anatomy",
        "nnunet_pst.phantom.motion",
        "nnunet_pst.phantom.acquisition",
        "nnunet_pst.phantom.scanning",
        "nnunet_pst.phantom.cohort",
        "nnunet_pst.demo_page",
    ],
    "EDGE": [
        "nnunet_pst.nnunet",
        "nnunet_pst.nnunet.environment",
        "nnunet_pst.nnunet.installation",
        "nnunet_pst.nnunet.raw_dataset",
        "nnunet_pst.nnunet.case_tasks",
        "nnunet_pst.nnunet.conversion_records",
        "nnunet_pst.nnunet.conversion_plan",
        "nnunet_pst.nnunet.conversion_summary",
        "nnunet_pst.nnunet.conversion",
        "nnunet_pst.nnunet.planning",
        "nnunet_pst.nnunet.case_reader",
        "nnunet_pst.nnunet.dataloading",
        "nnunet_pst.nnunet.training_step",
        "nnunet_pst.nnunet.base_trainer",
        "nnunet_pst.nnunet.timed_trainer",
        "nnunet_pst.nnunet.trained",
        "nnunet_pst.nnunet.model_files",
        "nnunet_pst.nnunet.checkpoints",
        "nnunet_pst.nnunet.model_plans",
        "nnunet_pst.nnunet.model_network",
        "nnunet_pst.nnunet.sliding_window",
        "nnunet_pst.nnunet.own_network",
        "nnunet_pst.nnunet.model_building",
        "nnunet_pst.nnunet.prediction",
        "nnunet_pst.nnunet.commands",
        "nnunet_pst.nnunet.demo",
        "nnunet_pst.nnunet.sweep_datasets",
        "nnunet_pst.nnunet.sweep",
        "nnunet_pst.nnunet.sweep_jobs",
        "nnunet_pst.nnunet.sweep_slurm",
        "nnunet_pst.nnunet.sweep_progress",
        "nnunet_pst.nnunet.sweep_running",
    ],
    "PORCH": [
        "nnunet_pst.dataset_conversion",
        "nnunet_pst.dataset_conversion.*",
        "nnunet_pst.trainers",
        "nnunet_pst.trainers.*",
    ],
    "ROOF": [
        "nnunet_pst.cli",
        "nnunet_pst.cli.argument_types",
        "nnunet_pst.cli.dataset_folders",
        "nnunet_pst.cli.main",
        "nnunet_pst.cli.*",
    ],
}

#: What a room may import besides the standard library and ourselves; None: anything that
#: LIBRARY_OWNERS doesn't keep for others.
ROOM_LIBRARIES: dict[str, set[str] | None] = {
    "ENTRANCE": set(),
    "GROUND": {"numpy"},
    "WORKSHOP": None,
    "EDGE": None,
    "PORCH": {"numpy", "torch"},
    "ROOF": {"numpy", "tqdm"},
}

#: Libraries that one place alone may import, so that a change of theirs is met in one place.
LIBRARY_OWNERS = {
    "nnunetv2": ("nnunet_pst.nnunet.*",),
    "batchgenerators": ("nnunet_pst.nnunet.*",),
    "batchgeneratorsv2": ("nnunet_pst.nnunet.*",),
    "acvl_utils": ("nnunet_pst.nnunet.*",),
    "blosc2": ("nnunet_pst.nnunet.*",),
    "SimpleITK": ("nnunet_pst.volumes", "nnunet_pst.mask_grids", "nnunet_pst.registration.*"),
    "ants": ("nnunet_pst.registration.ants_backend",),
    "pydicom": (
        "nnunet_pst.dicom.*",
        "nnunet_pst.segmentation.dicom_source",
        "nnunet_pst.segmentation.dicom_segmentation",
        "nnunet_pst.segmentation.structure_set",
    ),
    "segmentation_models_pytorch": ("nnunet_pst.network.*",),
    "safetensors": ("nnunet_pst.network.*",),
    "matplotlib": (
        "nnunet_pst.overlays",
        "nnunet_pst.registration.pictures",
        "nnunet_pst.report.*",
        "nnunet_pst.segmentation.montage",
    ),
    "imagecodecs": ("nnunet_pst.dicom.jpeg_frames",),
    "PIL": ("nnunet_pst.report.galleries",),
    "highdicom": ("nnunet_pst.segmentation.dicom_segmentation",),
    "openvino": ("nnunet_pst.network.openvino_engine",),
    "submitit": ("nnunet_pst.nnunet.sweep_slurm",),
}

#: Folders of the checkout and the package that each becomes.
FOLDERS = {
    "nnunet_pst": "nnunet_pst",
    "trainers": "nnunet_pst.trainers",
    "dataset_conversion": "nnunet_pst.dataset_conversion",
}
PORCHES = ("nnunet_pst.trainers", "nnunet_pst.dataset_conversion")
TRAINER_MAY_IMPORT = {"nnunet_pst.nnunet.base_trainer", "nnunet_pst.nnunet.timed_trainer"}


def modules() -> dict[str, Path]:
    """Every module by its import name."""
    found = {}
    for folder, package in FOLDERS.items():
        for path in sorted((CHECKOUT / folder).rglob("*.py")):
            parts = path.relative_to(CHECKOUT / folder).with_suffix("").parts
            inner = parts[:-1] if parts[-1] == "__init__" else parts
            found[".".join([package, *inner])] = path
    return found


MODULES = modules()


def imported_names(source: str) -> Iterator[str]:
    """Absolute names of everything imported anywhere in a file, inside functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write imports absolutely"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in MODULES else str(node.module)


def place(module: str) -> tuple[int, str]:
    """Line of the table and room of a module; an own line wins over one with `*`."""
    lines = [(line, room) for room, lines in HOUSE.items() for line in lines]
    names = [line for line, _ in lines]
    if module in names:
        return names.index(module), lines[names.index(module)][1]
    for number, (pattern, room) in enumerate(lines):
        if fnmatch.fnmatchcase(module, pattern):
            return number, room
    raise AssertionError(
        f"{module} has no place in the house: give it a line in HOUSE of "
        "tests/unit/test_imports.py, below everything it imports, and say in docs/architecture.md "
        "what it owns"
    )


def violations(module: str, source: str) -> list[str]:
    """One sentence for each import that breaks the rules."""
    line, room = place(module)
    found = []
    for name in sorted(set(imported_names(source))):
        top = name.partition(".")[0]
        if top == "nnunet_pst":
            if name.startswith(PORCHES):
                found.append(f"{module} imports the porch {name}: find it by name at run time")
            elif place(name)[0] >= line:
                found.append(f"{module} imports {name}, which does not stand above it")
            elif module.startswith("nnunet_pst.trainers.") and name not in TRAINER_MAY_IMPORT:
                found.append(f"{module} imports {name}: a trainer is settings, nothing else")
        elif top not in sys.stdlib_module_names:
            owners = LIBRARY_OWNERS.get(top, ())
            allowed = ROOM_LIBRARIES[room]
            if owners and not any(fnmatch.fnmatchcase(module, owner) for owner in owners):
                found.append(f"{module} imports {top}, which is for {' and '.join(owners)} alone")
            elif not owners and allowed is not None and top not in allowed:
                found.append(f"{module} imports {top}, which the {room} does without")
    return found


@pytest.mark.parametrize("module", MODULES)
def test_imports_only_from_above(module: str):
    assert violations(module, MODULES[module].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("nnunet_pst.geometry", "import nnunet_pst.cli.main"),
        ("nnunet_pst.geometry", "from nnunet_pst import labels"),
        ("nnunet_pst.geometry", "def f():\n    import torch"),
        ("nnunet_pst.losses", "from nnunetv2.paths import nnUNet_raw"),
        ("nnunet_pst.cli.convert", "import nnunet_pst.dataset_conversion.all_sequence"),
        ("nnunet_pst.trainers.nnUNetTrainerX", "from nnunet_pst.losses import MaskedSoftDiceLoss"),
        ("nnunet_pst.cli.env", "from nnunet_pst.cli.info import run"),
    ],
)
def test_a_forbidden_import_is_found(module: str, source: str):
    assert len(violations(module, source)) == 1


def test_a_module_without_a_place_is_named():
    with pytest.raises(AssertionError, match=r"nnunet_pst\.attic has no place in the house"):
        place("nnunet_pst.attic")


def test_every_line_has_a_module():
    names = [line for lines in HOUSE.values() for line in lines]
    assert [name for name in names if not fnmatch.filter(MODULES, name)] == []


def loaded_by(code: str) -> set[str]:
    """Top-level names of the modules in a fresh interpreter after ``code``."""
    report = f"{code}\nimport sys\nprint('LOADED', *{{n.partition('.')[0] for n in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("LOADED")[2].split())


HEAVY = {"torch", "nnunetv2", "numpy", "pandas", "scipy", "SimpleITK", "matplotlib"}
CALL = """
from nnunet_pst.cli.main import main
try:
    main({words!r})
except SystemExit as stop:
    assert stop.code == 0
"""


@pytest.mark.parametrize(
    "code",
    [
        "import nnunet_pst",
        CALL.format(words=["--help"]),
        CALL.format(words=["--version"]),
        *(CALL.format(words=[verb, "--help"]) for verb in VERBS),
    ],
    ids=["package", "help", "version", *VERBS],
)
def test_nothing_heavy_is_loaded(code: str):
    assert loaded_by(code) & HEAVY == set()


def test_env_loads_nothing_heavy(tmp_path: Path):
    assert loaded_by(CALL.format(words=["env", str(tmp_path)])) & HEAVY == set()


def test_something_heavy_would_be_noticed():
    assert "numpy" in loaded_by("import nnunet_pst.geometry")
