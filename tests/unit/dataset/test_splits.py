from collections import Counter

import pytest

from nnunet_pst.dataset.splits import (
    SplitPatient,
    make_splits,
    separated_patients,
    split_patients,
    thirds,
)


def cohort(count: int = 30, sequences: int = 3) -> list[SplitPatient]:
    return [
        SplitPatient(
            f"P{number:02}",
            tuple(f"P{number:02}_{sequence}" for sequence in range(sequences)),
            {
                "size": ("small", "medium", "large")[number % 3],
                "location": "sacrum" if number % 5 else "ilium",
            },
        )
        for number in range(count)
    ]


def patients(cases: list[str]) -> set[str]:
    return {case[:3] for case in cases}


def test_all_cases_of_a_patient_stay_on_one_side():
    for fold in make_splits(cohort(), seed=1):
        assert not patients(fold["train"]) & patients(fold["val"])
        assert len(fold["train"]) + len(fold["val"]) == 90


def test_every_patient_is_validated_once():
    splits = make_splits(cohort(), seed=1)
    assert len(splits) == 5
    validated = [case for fold in splits for case in fold["val"]]
    assert len(validated) == len(set(validated)) == 90


@pytest.mark.parametrize("count", [5, 6, 9, 23, 31])
def test_folds_have_the_same_number_of_patients(count):
    sizes = [len(patients(fold["val"])) for fold in make_splits(cohort(count), seed=0)]
    assert sum(sizes) == count
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("seed", range(8))
def test_folds_look_alike_in_every_category(seed):
    everyone = cohort()
    strata = {patient.patient: patient.strata for patient in everyone}
    for fold in make_splits(everyone, seed):
        for name, total in (("size", 10), ("location", None)):
            validated = Counter(strata[patient][name] for patient in patients(fold["val"]))
            whole = Counter(patient.strata[name] for patient in everyone)
            assert total is None or set(whole.values()) == {total}
            # A fifth of each category, give or take one patient.
            for category, size in whole.items():
                assert abs(validated[category] - size / 5) <= 1, (name, category)


def test_a_seed_decides_and_the_tables_order_does_not():
    assert make_splits(cohort(), 3) == make_splits(cohort()[::-1], 3)
    assert make_splits(cohort(), 3) != make_splits(cohort(), 4)


def test_a_rare_category_is_spread():
    everyone = [
        SplitPatient(f"P{number:02}", (f"P{number:02}",), {"kind": "rare" if number < 5 else "x"})
        for number in range(20)
    ]
    for fold in make_splits(everyone, seed=0):
        assert sum(case < "P05" for case in fold["val"]) == 1


def test_patients_without_covariates():
    everyone = [SplitPatient(f"P{number:02}", (f"P{number:02}",)) for number in range(10)]
    assert [len(fold["val"]) for fold in make_splits(everyone, seed=0)] == [2] * 5


def test_the_tables_own_validation_is_the_only_fold():
    everyone = [
        SplitPatient(f"P{n:02}", (f"P{n:02}_a", f"P{n:02}_b"), {}, "val" if n < 2 else "train")
        for n in range(6)
    ]
    (fold,) = make_splits(everyone, seed=0)
    assert fold["val"] == ["P00_a", "P00_b", "P01_a", "P01_b"]
    assert len(fold["train"]) == 8


@pytest.mark.parametrize("count", [2, 3, 4])
def test_fewer_patients_than_folds(count):
    splits = make_splits(cohort(count), seed=0)
    assert len(splits) == count
    assert all(len(patients(fold["val"])) == 1 and fold["train"] for fold in splits)


def test_one_patient_is_too_few():
    with pytest.raises(ValueError):
        make_splits(cohort(1), seed=0)


def test_separated_patients_are_named():
    fold = {"train": ["A_T1", "B_T1"], "val": ["A_T2", "C"]}
    owner = {"A_T1": "A", "A_T2": "A", "B_T1": "B"}
    assert separated_patients([fold], owner) == ["A"]
    assert separated_patients([{"train": ["A_T1", "A_T2"], "val": ["C"]}], owner) == []
    assert separated_patients([{"train": ["C"], "val": ["C"]}], {}) == ["C"]


def test_thirds():
    assert thirds({"a": 1, "b": 2, "c": 3}) == {"a": "small", "b": "medium", "c": "large"}
    sizes = Counter(thirds({str(n): float(n) for n in range(30)}).values())
    assert sizes == {"small": 10, "medium": 10, "large": 10}
    assert set(thirds({"a": 2.0, "b": 2.0}).values()) == {"small"}


def test_thirds_skip_sizes_that_are_not_numbers():
    rows = [
        {"patient": f"P{n}", "case": f"P{n}_T2", "sequence": "T2", "split": "train",
         "volume_ml": text}
        for n, text in enumerate(["1", "2", "3", "nan", "inf", ""])
    ]  # fmt: skip
    sizes = [patient.strata.get("size") for patient in split_patients(rows)]
    assert sizes == ["small", "medium", "large", None, None, None]
