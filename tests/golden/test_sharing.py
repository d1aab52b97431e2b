"""A shared model works on another machine, and names no patient."""

from __future__ import annotations

import getpass
import json
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nnunet_pst.io.volumes import read_image
from nnunet_pst.nnunet.models.prediction import load_model

pytestmark = pytest.mark.slow

DATASET = "DatasetPST"
TINY = "nnUNetTrainerPST25D_tiny"
FOLD = Path(DATASET) / f"{TINY}__nnUNetPlans__2d_5" / "fold_0"


@pytest.fixture(scope="module")
def archive(trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive that ``nnUNetv2_export_model_to_zip`` makes of the trained model."""
    file = tmp_path_factory.mktemp("export") / "model.zip"
    trained.call(
        "nnUNetv2_export_model_to_zip", "-d", DATASET, "-o", file, "-c", "2d_5", "-f", "0",
        "-tr", TINY,
    )  # fmt: skip
    return file


@pytest.fixture(scope="module")
def elsewhere(trained, archive: Path, tmp_path_factory: pytest.TempPathFactory):
    """Another workplace with nothing but the installed model."""
    root = tmp_path_factory.mktemp("elsewhere")
    folders = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
    workplace = trained.but(**{name: root / name for name in folders})
    workplace.call("nnUNetv2_install_pretrained_model_from_zip", archive)
    return workplace


def test_the_installed_model_predicts_the_same(
    elsewhere, trained, predicted: Path, tmp_path: Path, voxels: Callable
):
    images = trained.raw / DATASET / "imagesTs"
    words = ("-d", DATASET, "-c", "2d_5", "-tr", TINY, "-f", "0", "-device", "cpu")
    elsewhere.call(
        "nnUNetv2_predict", "-i", images, "-o", tmp_path, *words, "-npp", "0", "-nps", "0"
    )
    for path in predicted.glob("*.nii.gz"):
        assert np.array_equal(voxels(path), voxels(tmp_path / path.name))


def test_the_archive_itself_segments_the_same(
    archive: Path, trained, predicted: Path, voxels: Callable
):
    with trained.entered():
        model = load_model(archive, device="cpu")
    image = next((trained.raw / DATASET / "imagesTs").iterdir())
    found = model.predict([read_image(image)])
    wanted = voxels(predicted / image.name.replace("_0000", ""))
    assert np.array_equal(found.labels == 1, wanted == 1)


def test_the_archive_names_no_patient(elsewhere, table: Path, find_planted: Callable):
    assert find_planted(table.parent), "nothing was planted"
    assert find_planted(elsewhere.results) == []


@pytest.fixture(scope="module")
def contents(archive: Path) -> list[tuple[str, bytes]]:
    """Name and content of every member, also of archives inside."""
    found = []
    with zipfile.ZipFile(archive) as file:
        for name in file.namelist():
            found.append((name, name.encode() + b"\n" + file.read(name)))
            with file.open(name) as inner:
                if zipfile.is_zipfile(inner):
                    with zipfile.ZipFile(inner) as nested:
                        found += [(f"{name}/{n}", nested.read(n)) for n in nested.namelist()]
    return found


def test_the_archive_names_no_machine(contents: list, table: Path, trained):
    folders = (table.parents[1], trained.results.parent, Path.home(), Path(__file__).parents[2])
    own = [name for name in (socket.gethostname(), getpass.getuser()) if len(name) > 5]
    secrets = {*map(str, folders), *own, "dr-inquisitive", "reading-room-17"} - {"/"}
    found = [
        f"{name}: {secret}"
        for name, content in contents
        for secret in secrets
        if secret.encode() in content
    ]
    assert found == []


def test_all_contents_are_searched(contents: list):
    assert {Path(name).name for name, _ in contents} >= {
        "plans.json",
        "dataset.json",
        "dataset_fingerprint.json",
        "debug.json",
        "summary.json",
        "progress.png",
        "checkpoint_final.pth",
        "data.pkl",  # inside the checkpoint, which is an archive of its own
    }
    for name, content in contents:
        # A picture's metadata are chunks of text, which may be compressed.
        if name.endswith(".png"):
            assert not {b"zTXt", b"iTXt", b"eXIf"} & {
                content[at : at + 4] for at in chunks(content)
            }


def chunks(picture: bytes) -> list[int]:
    """Offsets of the names of a PNG's chunks."""
    at, found = picture.index(b"\x89PNG") + 8, []
    while at < len(picture):
        found.append(at + 4)
        at += 12 + int.from_bytes(picture[at : at + 4], "big")
    return found


def test_the_summary_still_tells_which_case_scored_what(elsewhere, validation_cases: list[str]):
    summary = json.loads((elsewhere.results / FOLD / "validation" / "summary.json").read_text())
    files = [case["prediction_file"] for case in summary["metric_per_case"]]
    assert sorted(files) == sorted(f"{case}.nii.gz" for case in validation_cases)


def test_a_key_in_the_raw_folder_is_not_exported(trained, archive: Path):
    assert (trained.raw / f"{DATASET}_patients.csv").is_file()
    with zipfile.ZipFile(archive) as file:
        assert not [name for name in file.namelist() if "patients" in name]
