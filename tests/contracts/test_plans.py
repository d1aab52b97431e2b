"""How the host reads and writes plans and preprocessed data."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunet_pst.errors import InputError
from nnunet_pst.labels import IGNORE, LABEL_VALUES
from nnunet_pst.nnunet.host_planning import keep_slices_first
from nnunet_pst.nnunet.models.memory_check import WEIGHABLE
from nnunet_pst.nnunet.models.plan_checks import check_plan_values, resolve_configuration
from nnunet_pst.nnunet.training.base_trainer import PST25DTrainer
from nnunet_pst.nnunet.training.settings import PLANS_KEY

Host = Callable[[str], str]


@pytest.fixture(scope="module")
def plans(planned: Path) -> dict:
    return dict(json.loads((planned / "nnUNetPlans.json").read_text()))


def test_unknown_keys_survive_the_plans_manager(host: Host, plans: dict):
    configuration = PlansManager(plans).get_configuration("2d_5").configuration
    assert configuration.get(PLANS_KEY) == plans["configurations"]["2d_5"][PLANS_KEY], host(
        f"drops the key '{PLANS_KEY}' of a configuration"
    )


def test_a_three_entry_patch_keeps_the_inherited_spacing(host: Host, plans: dict):
    manager = PlansManager(plans).get_configuration("2d_5")
    assert len(manager.patch_size) == 3
    assert len(manager.spacing) == 2, host("no longer inherits the spacing of 2d")
    assert manager.data_identifier == PlansManager(plans).get_configuration("2d").data_identifier


def test_the_ignore_label(host: Host, plans: dict):
    labels = PlansManager(plans).get_label_manager({"labels": LABEL_VALUES})
    assert labels.ignore_label == IGNORE, host("doesn't take the label named 'ignore' for it")
    assert labels.num_segmentation_heads == 2, host("gives the ignore label an output")


def test_class_locations_cover_every_known_slice(host: Host, planned: Path, plans: dict):
    folder = planned / PlansManager(plans).get_configuration("2d").data_identifier
    properties = pickle.loads(next(folder.glob("*.pkl")).read_bytes())
    keys = list(properties["class_locations"])
    assert (-1, 0, 1) in keys, host(f"stores class_locations under {keys}")


def test_preprocessed_slices_are_those_of_the_file(host: Host, planned: Path, plans: dict):
    import blosc2

    folder = planned / PlansManager(plans).get_configuration("2d_5").data_identifier
    files = sorted(path for path in folder.glob("*.b2nd") if not path.stem.endswith("_seg"))
    assert files, host("no longer writes .b2nd files")
    for path in files:
        image = np.asarray(blosc2.open(str(path), mode="r")[:])
        label = np.asarray(blosc2.open(str(path.with_name(f"{path.stem}_seg.b2nd")), mode="r")[:])
        assert image.ndim == 4, host("stores 2d data with other axes than c, z, y, x")
        assert image.shape[1:] == label.shape[1:] == (6, 40, 36), host("resamples slices in 2d")
        assert set(np.unique(label)) == {0, 1, 2}, host("changes label values")


def test_references_are_where_validation_reads_them(host: Host, raw: Path, planned: Path):
    wanted = sorted(path.name for path in (raw / "labelsTr").iterdir())
    found = sorted(path.name for path in (planned / "gt_segmentations").iterdir())
    assert found == wanted, host("validation reads gt_segmentations, which planning must fill")


@pytest.mark.usefixtures("planned")
def test_planning_again_keeps_our_configurations(host: Host, plans: dict, planned: Path):
    from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import (
        ExperimentPlanner,
    )

    ExperimentPlanner(planned.name).plan_experiment()
    again = json.loads((planned / "nnUNetPlans.json").read_text())["configurations"]
    assert again.get("2d_5") == plans["configurations"]["2d_5"], host(
        "planning anew drops or changes configurations that it didn't make"
    )


@pytest.mark.usefixtures("raw")
@pytest.mark.parametrize(
    ("spacing", "forward"), [((1.0, 1.2, 1.2), [0, 1, 2]), ((1.0, 1.2, 5.0), [2, 0, 1])]
)
def test_nearly_cubic_volumes_are_not_turned(host: Host, planned: Path, spacing, forward):
    from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import (
        ExperimentPlanner,
    )

    planner = ExperimentPlanner(planned.name)
    count = len(planner.dataset_fingerprint["spacings"])
    planner.dataset_fingerprint["spacings"] = [spacing] * count
    keep_slices_first(planner)
    found, _ = planner.determine_transpose()
    assert [int(axis) for axis in found] == forward, host("decides otherwise about the axes")


def test_what_the_host_plans_is_possible(host: Host, plans: dict):
    try:
        for name in plans["configurations"]:
            found = resolve_configuration(plans, name, "model")
            check_plan_values(plans, found, channels=1, mirrored=(0, 1), where=name)
    except InputError as error:
        pytest.fail(host(f"plans what `segment` refuses: {error}"))


def test_the_trainers_that_build_networks(host: Host):
    for trainer in (nnUNetTrainer, PST25DTrainer):
        assert trainer.build_network_architecture.__module__ in WEIGHABLE, host(
            "builds networks elsewhere, so they are built without weighing them first"
        )


def test_a_stock_trainer_of_our_configuration_says_what_is_missing(host: Host, plans: dict):
    """``nnUNetv2_train DatasetPST 2d_5 0`` without ``-tr`` is the likeliest slip."""
    manager = PlansManager(plans)
    configuration = manager.get_configuration("2d_5")
    with pytest.raises(SystemExit) as stop:
        nnUNetTrainer.build_network_architecture(manager, configuration, 1, 2, True)
    assert "add -tr nnUNetTrainerPST25D" in str(stop.value), host("builds networks another way")
