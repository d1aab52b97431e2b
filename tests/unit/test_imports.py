"""Who may import whom (docs/architecture.md), read from the source; and what stays unloaded."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from nnunet_pst.cli.main import VERBS

CHECKOUT = Path(__file__).parents[2]

#: The house, from the roof down: a line is a floor, and a room imports from floors below its own
#: alone. A new file in a room needs no line here.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("cli",),
    ("experiments",),
    ("nnunet",),
    ("report", "segmentation"),
    ("comparison", "calibration"),
    ("evaluation", "phantom"),
    ("dataset",),
    ("dicom", "registration", "network"),
    ("io",),
    ("errors", "labels"),
)

#: Libraries that some rooms alone may import, so that a change of theirs is met in one place.
LIBRARY_OWNERS: dict[str, tuple[str, ...]] = {
    "nnunetv2": ("nnunet",),
    "batchgenerators": ("nnunet",),
    "batchgeneratorsv2": ("nnunet",),
    "acvl_utils": ("nnunet",),
    "blosc2": ("nnunet",),
    "torch": ("network", "nnunet", "trainers"),
    "segmentation_models_pytorch": ("network",),
    "safetensors": ("network",),
    "openvino": ("network",),
    "SimpleITK": ("io", "registration"),
    "ants": ("registration",),
    "pydicom": ("dicom",),
    "highdicom": ("dicom",),
    "imagecodecs": ("dicom",),
    "submitit": ("experiments",),
    "sklearn": ("calibration",),
}

#: The two packages that are mapped from folders beside ours, and what they may import. Nothing
#: imports them: nnU-Net finds a trainer by its name, `dataset.layouts` finds a layout.
PORCHES: dict[str, tuple[str, ...]] = {
    "trainers": ("nnunet_pst.nnunet.training",),
    "dataset_conversion": ("nnunet_pst.dataset",),
}

#: Folders of the checkout and the package that each becomes.
FOLDERS = {
    "nnunet_pst": "nnunet_pst",
    "trainers": "nnunet_pst.trainers",
    "dataset_conversion": "nnunet_pst.dataset_conversion",
}


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


def room_of(module: str) -> str:
    """First name after the package's; empty for the package itself."""
    return f"{module}..".split(".")[1]


def floor_of(room: str) -> int:
    """Number of a room's floor, counted from the roof; the package itself is the ground."""
    if not room:
        return len(FLOORS)
    for number, floor in enumerate(FLOORS):
        if room in floor:
            return number
    raise AssertionError(
        f"the room {room!r} is on no floor: give it a place in FLOORS of "
        "tests/unit/test_imports.py, above everything it imports, and its sentence in "
        "docs/architecture.md"
    )


def violations(module: str, source: str) -> list[str]:
    """One sentence for each import that breaks the rules."""
    return [
        f"{module} imports {name}: {reason}"
        for name in sorted(set(imported_names(source)))
        if (reason := objection(module, name))
    ]


def objection(module: str, name: str) -> str:
    """Why a module may not import a name; empty if it may."""
    room, top = room_of(module), name.partition(".")[0]
    if not room:
        # The front door names what the rooms offer; that it loads none of it has tests of its own.
        return ""
    if top != "nnunet_pst":
        owners = LIBRARY_OWNERS.get(top, (room,))
        return "" if room in owners else f"that is for {' and '.join(owners)} alone"
    other = room_of(name)
    if other in PORCHES:
        return "a porch is found by its name at run time"
    if room in PORCHES:
        return "" if name.startswith(PORCHES[room]) else f"{room} are settings, nothing else"
    if other == room or floor_of(other) > floor_of(room):
        return ""
    return f"{other} is not on a floor below {room}"


@pytest.mark.parametrize("module", MODULES)
def test_imports_only_from_below(module: str):
    assert violations(module, MODULES[module].read_text(encoding="utf-8")) == []


def test_no_files_of_a_room_import_each_other_in_a_circle():
    graph = {
        module: {
            name
            for name in imported_names(path.read_text(encoding="utf-8"))
            if name in MODULES and name not in (module, "nnunet_pst")
        }
        for module, path in MODULES.items()
        if module != "nnunet_pst"
    }
    assert TopologicalSorter(graph).prepare() is None


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("nnunet_pst.io.geometry", "import nnunet_pst.cli.main"),
        ("nnunet_pst.labels", "from nnunet_pst.errors import InputError"),
        ("nnunet_pst.io.geometry", "def f():\n    import torch"),
        ("nnunet_pst.dicom.scan.choice", "from nnunet_pst.registration import policy"),
        ("nnunet_pst.network.losses", "from nnunetv2.paths import nnUNet_raw"),
        ("nnunet_pst.cli.convert", "import nnunet_pst.dataset_conversion.all_sequence"),
        (
            "nnunet_pst.trainers.nnUNetTrainerX",
            "from nnunet_pst.network.losses import MaskedSoftDiceLoss",
        ),
    ],
)
def test_a_forbidden_import_is_found(module: str, source: str):
    assert len(violations(module, source)) == 1


def test_a_room_without_a_floor_is_named():
    with pytest.raises(AssertionError, match="'attic' is on no floor"):
        floor_of("attic")


def test_every_room_exists_and_says_what_it_is():
    package = CHECKOUT / "nnunet_pst"
    rooms = {path.parent.name for path in package.glob("*/__init__.py")}
    ground = {path.stem for path in package.glob("*.py")} - {"__init__"}
    assert rooms | ground == {room for floor in FLOORS for room in floor}
    for init in package.rglob("*/__init__.py"):
        assert ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))), init


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
    assert "numpy" in loaded_by("import nnunet_pst.io.geometry")
