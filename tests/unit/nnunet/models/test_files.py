"""Models from strangers: refusals, and that none of their code runs."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from nnunet_pst.cli.main import main
from nnunet_pst.errors import Fault, InputError
from nnunet_pst.nnunet.models import files as model_files
from nnunet_pst.nnunet.models.checkpoints import check_plans, read_checkpoint
from nnunet_pst.nnunet.models.files import CHECKPOINT, open_model, write_manifest
from nnunet_pst.nnunet.models.prediction import load_model

NAME = "fold_0/checkpoint_final.pth"


class RunsCode:
    """Unpickled without restriction, it makes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.target),)


def checkpoint(**more: object) -> bytes:
    """A checkpoint as nnU-Net saves it, with the types that it logs."""
    content = {
        "network_weights": {"weight": torch.ones(2)},
        "trainer_name": "nnUNetTrainerPST25D",
        "init_args": {"configuration": "2d_5", "device": torch.device("cpu")},
        "logging": {"dice": [np.float64(0.5), np.float32(0.5), np.int64(3), float("nan")]},
        "_best_ema": np.float64(0.25),
        **more,
    }
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder that looks like a finished training."""
    folder = tmp_path / "model"
    (folder / "fold_0").mkdir(parents=True)
    (folder / NAME).write_bytes(checkpoint())
    (folder / "plans.json").write_text(json.dumps({"configurations": {"2d_5": {}}}))
    (folder / "dataset.json").write_text(
        json.dumps({"labels": {"background": 0, "tumor": 1, "ignore": 2}})
    )
    return folder


def pack(folder: Path, archive: Path, root: str = "DatasetPST/T__P__2d_5/") -> Path:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                packed.write(file, root + file.relative_to(folder).as_posix())
    return archive


def test_numbers_and_numpy_scalars_are_read():
    found = read_checkpoint(checkpoint(), "model")
    assert found["logging"]["dice"][:3] == [0.5, 0.5, 3]


def test_code_is_refused_and_not_run(tmp_path: Path, model: Path, capsys):
    target = tmp_path / "ran"
    (model / NAME).write_bytes(checkpoint(extra=RunsCode(target)))
    image = tmp_path / "image.nii.gz"
    image.touch()
    output = tmp_path / "out"
    words = ["segment", f"T2={image}", "--model", str(model), "-o", str(output)]
    assert main(words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert NAME in line
    assert "could run code" in line
    assert "--trust-model" in line
    assert not target.exists()
    assert not output.exists()
    # The same bytes would have run: the refusal is what stopped them.
    read_checkpoint((model / NAME).read_bytes(), "model", trusted=True)
    assert target.exists()


def test_an_old_format_is_refused(tmp_path: Path):
    file = io.BytesIO()
    target = tmp_path / "ran"
    torch.save({"x": RunsCode(target)}, file, _use_new_zipfile_serialization=False)
    with pytest.raises(InputError) as caught:
        read_checkpoint(file.getvalue(), "model")
    assert caught.value.fault is Fault.WRONG_TYPE
    assert not target.exists()


@pytest.mark.parametrize(
    ("length", "fault"),
    [
        (0, Fault.WRONG_TYPE),
        (10, Fault.DAMAGED),
        (300, Fault.DAMAGED),
        (-100, Fault.DAMAGED),
    ],
)
def test_a_truncated_checkpoint(length: int, fault: Fault):
    with pytest.raises(InputError) as caught:
        read_checkpoint(checkpoint()[:length], "model")
    assert caught.value.fault is fault


def test_a_flipped_bit_in_a_weight_is_noticed():
    weight = torch.arange(64, dtype=torch.float32)
    content = checkpoint(network_weights={"w": weight})
    place = content.index(weight.numpy().tobytes())
    damaged = bytearray(content)
    damaged[place + 40] ^= 1
    with pytest.raises(InputError) as caught:
        read_checkpoint(bytes(damaged), "model: x")
    assert caught.value.fault is Fault.DAMAGED


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(value: float):
    weights = {"good": torch.ones(3), "bad": torch.tensor([1.0, value])}
    with pytest.raises(InputError) as caught:
        read_checkpoint(checkpoint(network_weights=weights), "model: x")
    assert caught.value.fault is Fault.VALUES


def test_packed_records_are_refused():
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(checkpoint())) as source,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for member in source.infolist():
            target.writestr(member.filename, source.read(member))
    with pytest.raises(InputError) as caught:
        read_checkpoint(file.getvalue(), "model")
    assert caught.value.fault is Fault.UNTRUSTED


def test_a_file_that_is_not_a_checkpoint():
    file = io.BytesIO()
    torch.save({"weights": torch.ones(2)}, file)
    with pytest.raises(InputError) as caught:
        read_checkpoint(file.getvalue(), "model")
    assert caught.value.fault is Fault.WRONG_TYPE


@pytest.mark.parametrize(
    ("architecture", "named"),
    [
        ({"network_class_name": "os.system"}, "os.system"),
        ({"network_class_name": "torch.hub.load"}, "torch.hub.load"),
        ({"network_class_name": "torch.nn.modules.conv.torch.load"}, "torch.load"),
        (
            {
                "network_class_name": "torch.nn.Conv2d",
                "arch_kwargs": {"conv_op": "subprocess.Popen"},
                "_kw_requires_import": ["conv_op"],
            },
            "subprocess.Popen",
        ),
    ],
)
def test_plans_that_import_anything_but_networks_and_layers(architecture: dict, named: str):
    plans = {"configurations": {"2d": {"architecture": architecture}}}
    with pytest.raises(InputError) as caught:
        check_plans(plans, "2d", "model")
    assert caught.value.fault is Fault.UNTRUSTED
    assert f"{named}'" in str(caught.value)


def test_stock_plans_and_ours_pass():
    stock = {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {"conv_op": "torch.nn.modules.conv.Conv2d", "nonlin": "torch.nn.LeakyReLU"},
        "_kw_requires_import": ["conv_op", "nonlin"],
    }
    ours = {"network_class_name": "nnunet_pst.network.unet25d.Unet25D"}
    functions = {"resampling_fn_data": "resample_data_or_seg_to_shape"}
    plans = {
        "configurations": {
            "2d": {"architecture": stock, **functions},
            "2d_5": {"architecture": ours, "inherits_from": "2d"},
        }
    }
    check_plans(plans, "2d_5", "model")


def test_a_manifest_tells_a_changed_file(model: Path):
    manifest = write_manifest(model)
    assert manifest == model / "model.sha256"
    assert open_model(model).read(NAME)
    subprocess.run(["sha256sum", "-c", "--quiet", manifest.name], cwd=model, check=True)
    (model / NAME).write_bytes(checkpoint(another=1))
    with pytest.raises(InputError) as caught:
        open_model(model).read(NAME)
    assert caught.value.fault is Fault.DAMAGED
    write_manifest(model)
    assert open_model(model).read(NAME)


def test_a_file_that_the_manifest_lacks(model: Path):
    write_manifest(model)
    (model / "fold_1").mkdir()
    (model / "fold_1" / CHECKPOINT).write_bytes(checkpoint())
    with pytest.raises(InputError) as caught:
        load_model(model, device="cpu")
    assert caught.value.fault is Fault.UNEXPECTED


def test_an_archive_and_its_manifest(model: Path, tmp_path: Path, capsys):
    archive = pack(model, tmp_path / "model.zip")
    assert main(["manifest", str(archive)]) == 0
    files = open_model(archive)
    assert files.checkpoints() == [NAME]
    content = files.read(NAME)
    assert content == (model / NAME).read_bytes()
    assert files.digests == {NAME: hashlib.sha256(content).hexdigest()}
    archive.write_bytes(archive.read_bytes() + b"\0")
    with pytest.raises(InputError) as caught:
        open_model(archive)
    assert caught.value.fault is Fault.DAMAGED


def test_an_archive_is_never_unpacked(model: Path, tmp_path: Path):
    archive = pack(model, tmp_path / "model.zip")
    before = sorted(tmp_path.rglob("*"))
    assert open_model(archive).read(NAME)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("member", ["../../escaped", "/tmp/escaped", "C:\\escaped", "a/../../b"])
def test_an_archive_with_a_member_outside_is_refused(model: Path, tmp_path: Path, member: str):
    archive = pack(model, tmp_path / "model.zip")
    with zipfile.ZipFile(archive, "a") as packed:
        packed.writestr(member, "x")
    with pytest.raises(InputError) as caught:
        open_model(archive)
    assert caught.value.fault is Fault.UNTRUSTED
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(("name", "part"), [("model.zip", 0.5), ("model.bin", 0.5), ("m.zip", 0)])
def test_an_archive_that_is_cut_off_or_empty(model: Path, tmp_path: Path, name: str, part: float):
    archive = pack(model, tmp_path / name)
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(InputError) as caught:
        open_model(archive)
    assert caught.value.fault is (Fault.DAMAGED if part else Fault.WRONG_TYPE)


def test_an_archive_bomb(model: Path, tmp_path: Path):
    (model / NAME).write_bytes(bytes(2**26))
    archive = pack(model, tmp_path / "model.zip")
    with pytest.raises(InputError) as caught:
        open_model(archive).read(NAME)
    assert caught.value.fault is Fault.UNTRUSTED


def test_a_wrong_size_in_the_archive(model: Path, tmp_path: Path):
    archive = pack(model, tmp_path / "model.zip")
    data = bytearray(archive.read_bytes())
    at = data.rindex(b"plans.json") - 46 + 24  # the uncompressed size in the archive's directory
    while data[at - 24 : at - 20] != b"PK\x01\x02":
        at -= 1
    data[at : at + 4] = (3).to_bytes(4, "little")
    archive.write_bytes(data)
    with pytest.raises(InputError) as caught:
        open_model(archive).read("plans.json")
    assert caught.value.fault is Fault.DAMAGED


def test_too_large(model: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(model_files, "MOST_DESCRIPTION_BYTES", 10)
    with pytest.raises(InputError) as caught:
        open_model(model).read_json("plans.json")
    assert caught.value.fault is Fault.TOO_LARGE


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda model: (model / "plans.json").unlink(), Fault.MISSING),
        (lambda model: (model / NAME).unlink(), Fault.MISSING),
        (lambda model: (model / "plans.json").write_text("{"), Fault.DAMAGED),
        (lambda model: (model / "plans.json").write_text("[]"), Fault.WRONG_TYPE),
        (
            lambda model: (model / "dataset.json").write_text('{"labels": {"organ": 1, "b": 2}}'),
            Fault.MALFORMED,
        ),
        (
            lambda model: (model / "dataset.json").write_text(
                '{"labels": {"background": 0, "whole": [1, 2], "core": 2}}'
            ),
            Fault.UNSUPPORTED,
        ),
        (
            lambda model: (model / "dataset.json").write_text(
                json.dumps({"labels": {"background": 0} | {f"c{n}": n for n in range(1, 300)}})
            ),
            Fault.TOO_LARGE,
        ),
    ],
)
def test_models_that_cannot_be_used(model: Path, spoil, fault: Fault):
    spoil(model)
    with pytest.raises(InputError) as caught:
        load_model(model, device="cpu")
    assert caught.value.fault is fault


def test_two_models_in_an_archive(model: Path, tmp_path: Path):
    archive = pack(model, tmp_path / "model.zip", "a/")
    with zipfile.ZipFile(archive, "a") as packed:
        packed.writestr("b/plans.json", "{}")
    with pytest.raises(InputError) as caught:
        open_model(archive)
    assert caught.value.fault is Fault.AMBIGUOUS


def test_all_folds_in_order(model: Path):
    for fold in ("fold_10", "fold_2", "fold_all"):
        (model / fold).mkdir()
        (model / fold / CHECKPOINT).write_bytes(checkpoint())
    found = open_model(model).checkpoints()
    assert found == [f"fold_{number}/{CHECKPOINT}" for number in (0, 2, 10)]
