"""Plans from strangers: odd values give lines or a mask, never a traceback or a full memory."""

from __future__ import annotations

import copy
import json
import random
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nnunet_pst.errors import Fault, HostError, InputError, Problem, PSTError
from nnunet_pst.io.geometry import Grid
from nnunet_pst.io.volumes import Volume
from nnunet_pst.network.unet25d import Unet25D
from nnunet_pst.nnunet.models.plan_checks import check_resampled_size
from nnunet_pst.nnunet.models.prediction import load_model

NAME = "fold_0/checkpoint_final.pth"
ODD = (
    *(None, True, -1, 0, 3, 100_000, 10**400, 0.5, -2.5, 1e300, float("nan"), float("inf")),
    *("", "x", "torch.hub.load", "\x1b[31m", "z" * 10_000),
    *([], [1], [-3, 64, 64], [100_000] * 3, [[]], {}, {"a": 1}, {"order": 10**9}),
)
GRID = Grid((24, 20, 3), (2.0, 2.0, 5.0), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
IMAGE = Volume(np.random.default_rng(0).integers(1, 900, GRID.shape_zyx).astype(np.int16), GRID)
#: Memory limit for refusals, with torch loaded: far below the demands of the values.
MOST_BYTES = 3 * 2**30

RESAMPLING: dict[str, Any] = {
    f"resampling_fn_{name}{what}": value
    for name, order in (("data", 3), ("seg", 1), ("probabilities", 1))
    for what, value in (
        ("", "resample_data_or_seg_to_shape"),
        (
            "_kwargs",
            {"is_seg": name == "seg", "order": order, "order_z": 0, "force_separate_z": None},
        ),
    )
}
STOCK: dict[str, Any] = {
    "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
    "arch_kwargs": {
        "n_stages": 3,
        "features_per_stage": [4, 8, 8],
        "conv_op": "torch.nn.modules.conv.Conv2d",
        "kernel_sizes": [[3, 3]] * 3,
        "strides": [[1, 1], [2, 2], [2, 2]],
        "n_conv_per_stage": [1, 1, 1],
        "n_conv_per_stage_decoder": [1, 1],
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    },
    "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
}
OURS = {
    "network_class_name": "nnunet_pst.network.unet25d.Unet25D",
    "arch_kwargs": {
        "slices_per_bag": 3,
        "encoder": "mobilenet_v2",
        "canvas": 32,
        "intensity": "unit",
    },
    "_kw_requires_import": [],
}
PLANS: dict[str, Any] = {
    "dataset_name": "DatasetPST",
    "plans_name": "nnUNetPlans",
    "image_reader_writer": "SimpleITKIO",
    "transpose_forward": [0, 1, 2],
    "transpose_backward": [0, 1, 2],
    "label_manager": "LabelManager",
    "foreground_intensity_properties_per_channel": {
        "0": {"mean": 90.0, "std": 9.0, "percentile_00_5": 3.0, "percentile_99_5": 400.0}
    },
    "configurations": {
        "2d": {
            "preprocessor_name": "DefaultPreprocessor",
            "batch_size": 12,
            "patch_size": [32, 32],
            "spacing": [2.5, 2.5],
            "normalization_schemes": ["ZScoreNormalization"],
            "use_mask_for_norm": [False],
            **RESAMPLING,
            "architecture": STOCK,
        },
        "2d_5": {
            "inherits_from": "2d",
            "patch_size": [5, 32, 32],
            "batch_size": 12,
            "architecture": OURS,
            "pst": {"crop": 32},
        },
    },
}


def write_model(folder: Path, configuration: str, trainer: str, network: torch.nn.Module) -> Path:
    """A finished training of one fold, with random weights."""
    (folder / "fold_0").mkdir(parents=True)
    content = {
        "network_weights": network.state_dict(),
        "trainer_name": trainer,
        "init_args": {"configuration": configuration},
        "inference_allowed_mirroring_axes": (0, 1),
    }
    torch.save(content, folder / NAME)
    labels = {"background": 0, "tumor": 1, "ignore": 2}
    (folder / "dataset.json").write_text(
        json.dumps({"labels": labels, "channel_names": {"0": "MRI"}})
    )
    (folder / "plans.json").write_text(json.dumps(PLANS))
    spacings = {"spacings": [[5.0, 1.5, 1.5], [4.0, 2.0, 2.0]]}
    (folder / "dataset_fingerprint.json").write_text(json.dumps(spacings))
    return folder


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 2.5D model."""
    folder = tmp_path_factory.mktemp("ours") / "model"
    torch.manual_seed(0)
    return write_model(folder, "2d_5", "nnUNetTrainerPST25D", Unet25D(1, 2, canvas=32))


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stock model, so small that it takes milliseconds."""
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    arguments = (*(copy.deepcopy(STOCK[key]) for key in STOCK), 1, 2)
    network = get_network_from_plans(*arguments, deep_supervision=False)
    folder = tmp_path_factory.mktemp("stock") / "model"
    return write_model(folder, "2d", "nnUNetTrainer", network)


def places(value: object, path: tuple = ()) -> Iterator[tuple]:
    """Every place below a value of a JSON file, leaves and branches."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from places(inner, (*path, index))


def changed(content: dict, path: tuple, value: object) -> dict:
    found = copy.deepcopy(content)
    inner = found
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return found


def outcome(model: Path) -> list[Problem] | None:
    """Problems of a refusal, or None where there is a mask; anything else is a bug."""
    try:
        mask = load_model(model, device="cpu", mirroring=False).predict([IMAGE]).labels
    except PSTError as error:
        problems = error.problems
    else:
        assert mask.shape == GRID.shape_zyx
        return None
    assert problems
    assert all(line.isprintable() and len(line) < 400 for line in problems)
    return problems


def test_whole_models_give_masks(ours: Path, stock: Path):
    assert outcome(ours) is None
    assert outcome(stock) is None


def fuzz(model: Path, file: str, choose: Callable[[tuple], bool], share: float) -> int:
    """Put odd values into every chosen place of a file; return how many were refused."""
    whole, random_, refused = (model / file).read_text(), random.Random(7), 0
    content = json.loads(whole)
    try:
        for path in filter(choose, places(content)):
            for value in ODD:
                if random_.random() < share:
                    (model / file).write_text(json.dumps(changed(content, path, value)))
                    refused += outcome(model) is not None
    finally:
        (model / file).write_text(whole)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 < MOST_BYTES
    return refused


@pytest.mark.parametrize(
    "architecture",
    [
        1,
        True,
        [1],
        "x",
        {"arch_kwargs": 1},
        {"_kw_requires_import": 1},
        {"_kw_requires_import": [1]},
    ],
)
def test_an_architecture_that_was_edited_into_nonsense(stock: Path, architecture: object):
    whole = (stock / "plans.json").read_text()
    content = json.loads(whole)
    configurations = content["configurations"]
    for name in configurations:
        configurations[name]["architecture"] = architecture
    try:
        (stock / "plans.json").write_text(json.dumps(content))
        assert outcome(stock) is not None
    finally:
        (stock / "plans.json").write_text(whole)


def test_odd_values_in_the_plans_of_a_stock_model(stock: Path):
    assert fuzz(stock, "plans.json", lambda path: path[:2] != ("configurations", "2d_5"), 0.05) > 80


def test_odd_values_in_the_plans_of_our_model(ours: Path):
    assert fuzz(ours, "plans.json", lambda path: path[:2] == ("configurations", "2d_5"), 0.06) > 12


def test_odd_values_in_the_dataset(stock: Path):
    assert fuzz(stock, "dataset.json", lambda path: True, 0.4) > 20


def test_odd_values_in_the_fingerprint(stock: Path):
    assert fuzz(stock, "dataset_fingerprint.json", lambda path: True, 0.4) > 20


def with_plans(model: Path, path: tuple, value: object) -> list[Problem] | None:
    """Outcome with another value in the plans, which are put back."""
    whole = (model / "plans.json").read_text()
    (model / "plans.json").write_text(json.dumps(changed(json.loads(whole), path, value)))
    try:
        return outcome(model)
    finally:
        (model / "plans.json").write_text(whole)


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (("architecture", "arch_kwargs", "encoder"), "mobilenet", Fault.UNKNOWN_NAME),
        (("architecture", "arch_kwargs", "encoder"), "tu-hf-hub:me/net", Fault.UNKNOWN_NAME),
        (("architecture", "arch_kwargs", "canvas"), 4000, Fault.OUT_OF_RANGE),
        (("architecture", "arch_kwargs", "canvas"), 100_000, Fault.MALFORMED),
        (("architecture", "arch_kwargs", "slices_per_bag"), 4, Fault.OUT_OF_RANGE),
        (("architecture", "arch_kwargs", "slices_per_bag"), 5, Fault.CONTRADICTION),
        (("architecture", "arch_kwargs", "in_channels"), 1, Fault.MALFORMED),
        (("patch_size",), [38, 100_000, 128], Fault.MALFORMED),
        (("patch_size",), [512, 1024, 1024], Fault.TOO_LARGE),
        (("patch_size",), [128, 128], Fault.CONTRADICTION),
        (("inherits_from",), "2d_5", Fault.MALFORMED),
    ],
)
def test_a_wrong_value_is_named(ours: Path, path: tuple, value: object, fault: Fault):
    (problem,) = with_plans(ours, ("configurations", "2d_5", *path), value) or ()
    assert problem.fault is fault
    assert problem.startswith("model: ")


def test_all_wrong_values_are_reported_at_once(stock: Path):
    whole = PLANS["configurations"]["2d"]
    spoilt = {**whole, "spacing": [0, 1e9], "patch_size": [32, -1], "use_mask_for_norm": "no"}
    lines = with_plans(stock, ("configurations", "2d"), spoilt) or []
    assert [line.removeprefix("model: plans.json: ").split(" is ")[0] for line in lines] == [
        *("spacing", "patch_size", "use_mask_for_norm"),
    ]


def with_checkpoint(model: Path, **changes: object) -> list[Problem] | None:
    """Outcome with another checkpoint, which is put back."""
    whole = (model / NAME).read_bytes()
    content = torch.load(model / NAME, weights_only=True)
    torch.save({**content, **changes}, model / NAME)
    try:
        return outcome(model)
    finally:
        (model / NAME).write_bytes(whole)


@pytest.mark.parametrize("axes", [(), (0, 0), (2,), (-1,), "ab", 3, (True,)])
def test_axes_that_cannot_be_mirrored(stock: Path, axes: object):
    (problem,) = with_checkpoint(stock, inference_allowed_mirroring_axes=axes) or ()
    assert problem.fault is Fault.OUT_OF_RANGE


@pytest.mark.parametrize("started", [None, {}, {"configuration": 2}, {"configuration": "2d\n"}])
def test_a_checkpoint_that_does_not_name_its_configuration(stock: Path, started: object):
    (problem,) = with_checkpoint(stock, init_args=started) or ()
    assert problem.fault is Fault.MALFORMED


def test_weights_larger_than_their_file(stock: Path):
    huge = torch.ones(1).expand(2**20, 2**20)
    (problem,) = with_checkpoint(stock, network_weights={"a": huge}) or ()
    assert problem.fault is Fault.UNTRUSTED


def test_a_network_larger_than_the_weights_is_never_built(stock: Path):
    path = ("configurations", "2d", "architecture", "arch_kwargs")
    wide = {"features_per_stage": [4096] * 3, "kernel_sizes": [[63, 63]] * 3}  # hundreds of GB
    (problem,) = with_plans(stock, path, {**STOCK["arch_kwargs"], **wide}) or ()
    assert problem.fault is Fault.CONTRADICTION


def test_logits_that_are_not_finite_are_not_an_empty_mask(stock: Path):
    path = ("configurations", "2d", "architecture", "arch_kwargs", "norm_op_kwargs", "eps")
    (problem,) = with_plans(stock, path, -2.5) or ()  # roots of negative variances
    assert problem.fault is Fault.VALUES


@pytest.mark.parametrize(
    "full",
    [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")],
    ids=["python", "torch"],
)
def test_a_full_memory_is_reported(stock: Path, monkeypatch: pytest.MonkeyPatch, full: Exception):
    def fail(*_: object) -> None:
        raise full

    model = load_model(stock, device="cpu")
    monkeypatch.setattr(model, "_predict", fail)
    with pytest.raises(HostError) as caught:
        model.predict([IMAGE])
    assert caught.value.fault is Fault.TOO_LARGE


def test_an_image_that_would_grow_too_large():
    check_resampled_size((40, 512, 512), (5.0, 0.7, 0.7), [0.5, 0.5], "m")
    with pytest.raises(InputError) as caught:
        check_resampled_size((40, 512, 512), (5.0, 0.7, 0.7), [0.05, 0.05], "m")
    assert caught.value.fault is Fault.TOO_LARGE
    with pytest.raises(InputError) as caught:
        check_resampled_size((40, 512, 512), (5.0, 0.7, 0.7), [0.05, 0.7, 0.7], "m")
    assert caught.value.fault is Fault.TOO_LARGE
