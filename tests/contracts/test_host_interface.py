"""Names and signatures of the host that we override or call."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunet_pst.nnunet.environment import host_version, host_version_supported
from nnunet_pst.nnunet.training.base_trainer import PST25DTrainer
from nnunet_pst.nnunet.training.timed_trainer import TimedPST25DTrainer, TimedTrainer

Host = Callable[[str], str]
EDGE = Path(__file__).parents[2] / "nnunet_pst" / "nnunet"


def names_we_import() -> Iterator[tuple[str, str]]:
    for path in sorted(EDGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("nnunetv2"):
                yield from ((str(node.module), alias.name) for alias in node.names)


def test_the_host_is_a_tested_version():
    version = host_version()
    assert version is not None, "nnunetv2 is not installed"
    assert host_version_supported(version), f"nnunetv2 {version} is outside the tested window"


@pytest.mark.parametrize(("module", "name"), sorted(set(names_we_import())))
def test_names_that_we_import(host: Host, module: str, name: str):
    found = getattr(importlib.import_module(module), name, None)
    assert found is not None, host(f"{module} has no {name} any more")


@pytest.mark.parametrize(
    "trainer", [nnUNetTrainer, PST25DTrainer, TimedTrainer, TimedPST25DTrainer]
)
def test_init_parameters(host: Host, trainer: type):
    names = list(inspect.signature(trainer.__init__).parameters)
    assert names == ["self", "plans", "configuration", "fold", "dataset_json", "device"], host(
        f"{trainer.__name__}.__init__ takes {names}; checkpoints are read back with these names"
    )


@pytest.mark.parametrize("trainer", [nnUNetTrainer, PST25DTrainer])
def test_build_network_architecture_is_static(host: Host, trainer: type):
    found = inspect.getattr_static(trainer, "build_network_architecture")
    assert isinstance(found, staticmethod), host(
        f"{trainer.__name__}.build_network_architecture is not a static method"
    )
    names = list(inspect.signature(found.__func__).parameters)
    assert names == [
        "plans_manager",
        "configuration_manager",
        "num_input_channels",
        "num_output_channels",
        "enable_deep_supervision",
    ], host(f"{trainer.__name__}.build_network_architecture takes {names}")


#: Methods of our trainer that are not the host's.
OUR_OWN = {"_bare_network", "_batches", "_images", "_iterate", "_patients", "_settings"}


def overridden() -> list[tuple[type, str]]:
    return [
        (trainer, name)
        for trainer in (PST25DTrainer, TimedTrainer)
        for name, value in vars(trainer).items()
        if inspect.isroutine(value) or isinstance(value, staticmethod)
        if not name.startswith("__") and name not in OUR_OWN
    ]


@pytest.mark.parametrize(("trainer", "name"), overridden())
def test_every_hook_that_we_override_is_still_there(host: Host, trainer: type, name: str):
    theirs = getattr(nnUNetTrainer, name, None)
    assert theirs is not None, host(
        f"nnUNetTrainer has no {name}: ours is never called (if it is a new method of ours, add it "
        "to OUR_OWN)"
    )
    ours = getattr(trainer, name)
    assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters), (
        host(f"nnUNetTrainer.{name} takes {inspect.signature(theirs)}")
    )


@pytest.mark.parametrize("name", sorted(OUR_OWN))
def test_our_own_methods_hide_none_of_the_hosts(host: Host, name: str):
    assert not hasattr(nnUNetTrainer, name), host(f"nnUNetTrainer has got a {name} of its own")


@pytest.mark.parametrize(
    "name",
    [
        "_set_batch_size_and_oversample",
        "get_tr_and_val_datasets",
        # The timed trainer goes through one epoch by itself.
        "on_epoch_start",
        "on_train_epoch_start",
        "on_train_epoch_end",
        "on_validation_epoch_start",
        "validation_step",
        "on_validation_epoch_end",
        "on_epoch_end",
        "on_train_end",
    ],
)
def test_methods_that_we_rely_on(host: Host, name: str):
    assert callable(getattr(nnUNetTrainer, name, None)), host(f"nnUNetTrainer has no {name}")
