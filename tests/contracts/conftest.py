"""Shared by the contract tests: messages that name the host, a wheel, a tiny planned dataset."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import numpy as np
import pytest

from nnunet_pst.nnunet.environment import host_version, make_folders, shell_environment

CHECKOUT = Path(__file__).parents[2]

#: Name without an id, as `convert` makes it.
DATASET = "DatasetTiny"
CASES = [f"PST_{number:04}_T2" for number in range(1, 7)]
SHAPE_ZYX = (6, 40, 36)
SPACING_XYZ_MM = (1.0, 1.0, 4.0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Name the host's version below every contract test that fails."""
    report = yield
    if report.failed:
        report.sections.append(("host", f"nnunetv2 {host_version()}"))
    return report


@pytest.fixture(scope="session")
def host() -> Callable[[str], str]:
    """Begin a message with the host's version, which is what a broken contract is about."""
    return lambda message: f"nnunetv2 {host_version()}: {message}"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the sources, without fetching anything."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("nnunet_pst", "trainers", "dataset_conversion"):
        shutil.copytree(
            CHECKOUT / name, source / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, source)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", folder, source],
        check=True,
        capture_output=True,
        text=True,
    )
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def host_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The environment that `nnunet_pst env` makes, in an empty folder."""
    root = tmp_path_factory.mktemp("host")
    variables = shell_environment(root, {"nnUNet_def_n_proc": "1"})
    make_folders(variables)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.setenv("nnUNet_n_proc_DA", "1")
        patch.setenv("NNUNET_PST_ENCODER_WEIGHTS", "none")
        yield root


@pytest.fixture(scope="session")
def raw(host_folders: Path) -> Path:
    """A raw dataset of six tiny cases: a bright block, known on slices 1 to 4."""
    import SimpleITK as sitk  # noqa: N813 - its usual name

    folder = host_folders / "nnUNet_raw" / DATASET
    draw = np.random.default_rng(0)
    for number, case in enumerate(CASES):
        label = np.zeros(SHAPE_ZYX, np.uint8)
        label[2:4, 10 : 20 + number, 10:20] = 1
        image = draw.normal(100, 10, SHAPE_ZYX).astype(np.float32) + 200 * label
        label[[0, 5]] = 2
        for array, file in (
            (image, folder / "imagesTr" / f"{case}_0000.nii.gz"),
            (label, folder / "labelsTr" / f"{case}.nii.gz"),
        ):
            file.parent.mkdir(parents=True, exist_ok=True)
            written = sitk.GetImageFromArray(array)
            written.SetSpacing(SPACING_XYZ_MM)
            sitk.WriteImage(written, str(file))
    description = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "tumor": 1, "ignore": 2},
        "numTraining": len(CASES),
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


@pytest.fixture(scope="session")
def planned(raw: Path, host_folders: Path) -> Path:
    """Preprocessed data and plans of the tiny dataset, as `nnunet_pst plan` makes them."""
    from nnunet_pst.nnunet.planning import plan_dataset

    plan_dataset(DATASET, workers=1)
    return host_folders / "nnUNet_preprocessed" / DATASET
