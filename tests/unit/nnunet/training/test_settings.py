import json
from dataclasses import fields

import pytest

from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.nnunet.training.settings import TrainingSettings


def problems(**values) -> list[Problem]:
    with pytest.raises(InputError) as caught:
        TrainingSettings.from_plans(values)
    return caught.value.problems


def test_settings_survive_the_plans_file():
    settings = TrainingSettings(crop=64, gamma=1.0, seed=7)
    assert TrainingSettings.from_plans(json.loads(json.dumps(settings.to_plans()))) == settings


def test_plans_name_every_setting():
    assert set(TrainingSettings().to_plans()) == {field.name for field in fields(TrainingSettings)}


def test_missing_settings_of_older_plans_get_the_defaults():
    assert TrainingSettings.from_plans({}) == TrainingSettings(first_layer="rgb")
    assert TrainingSettings.from_plans({"seed": 3}).seed == 3


def test_every_unknown_name_is_reported_with_those_that_exist():
    first, second = problems(crop_size=224, negativ_share=0.1, seed=1)
    assert first.fault is second.fault is Fault.UNKNOWN_NAME
    assert "'crop_size'" in first
    assert "'negativ_share'" in second
    assert all("negative_share" in line and "key 'pst'" in line for line in (first, second))


def test_all_wrong_settings_are_reported_at_once():
    refused = problems(
        nonsense=1,
        seed="x",
        crop=100,
        bags_per_patient=0,
        lesion_share=0.8,
        negative_share=0.3,
        scale=0.5,
    )
    names = ("nonsense", "seed", "crop", "bags_per_patient", "share", "scale")
    for name, problem in zip(names, refused, strict=True):
        assert name in problem


@pytest.mark.parametrize(
    "values",
    [
        {"crop": 0},
        {"crop": -32},
        {"crop": 33},
        {"lesion_share": -0.1},
        {"negative_share": -0.1},
        {"lesion_share": 0.6, "negative_share": 0.6},
        {"gamma": 0.99},
        {"gain": 0.0},
        {"rotation_degrees": -1.0},
        {"seed": -1},
    ],
)
def test_one_impossible_value(values):
    (problem,) = problems(**values)
    assert problem.fault is Fault.OUT_OF_RANGE


@pytest.mark.parametrize(
    "values",
    [
        {"crop": 32},
        {"lesion_share": 0.9, "negative_share": 0.1},
        {"lesion_share": 0.0, "negative_share": 0.0},
        {"scale": 1.0, "gamma": 1.0, "gain": 1.0, "rotation_degrees": 0.0},
        {"bags_per_patient": 12},
    ],
)
def test_possible_extremes(values):
    assert TrainingSettings.from_plans(values).to_plans().items() >= values.items()


@pytest.mark.parametrize(
    "values",
    [{"crop": "224"}, {"crop": 224.5}, {"seed": None}, {"gamma": float("nan")}, {"scale": True}],
)
def test_a_value_that_is_not_a_number(values):
    (problem,) = problems(**values)
    assert next(iter(values)) in problem
    assert problem.fault is Fault.MALFORMED


def test_a_whole_number_will_do_for_a_fraction():
    assert TrainingSettings.from_plans({"scale": 1, "rotation_degrees": 30}).scale == 1


@pytest.mark.parametrize("value", [1, "yes", None])
def test_a_switch_is_true_or_false(value):
    (problem,) = problems(freeze_encoder_norms=value)
    assert problem.fault is Fault.MALFORMED
