"""Folds follow the case table: nobody changes folds unasked, no test patient is trained on."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_pst.dataset.fold_updates import fold_problems, update_splits
from nnunet_pst.dataset.splits import make_splits, split_patients
from nnunet_pst.errors import Fault


def table(splits: dict[str, str], cases: int = 2) -> list[dict[str, str]]:
    """Rows of a case table: patient to split, so many cases each."""
    return [
        {
            "case": f"{patient}_T{number}",
            "patient": patient,
            "sequence": f"T{number}",
            "split": split,
            "label_kind": "fine",
        }
        for patient, split in splits.items()
        for number in range(1, cases + 1)
    ]


def folds_of(rows: list[dict[str, str]]) -> list[dict[str, list[str]]]:
    return make_splits(split_patients([r for r in rows if r["split"] != "test"]), 1)


TEN = {f"P{number}": "train" for number in range(10)}


def test_nothing_changed():
    update = update_splits(folds_of(table(TEN)), table(TEN), 1)
    assert update.splits == folds_of(table(TEN))
    assert update.changes == ()


def test_a_patient_who_became_a_test_patient_leaves_every_fold():
    rows = table({**TEN, "P3": "test"})
    update = update_splits(folds_of(table(TEN)), rows, 1)
    assert not any("P3" in case for f in update.splits for side in f for case in f[side])
    assert any("test patients now" in line and "P3" in line for line in update.changes)


def test_new_patients_balance_the_folds():
    rows = table({**TEN, **{f"Q{number}": "train" for number in range(5)}})
    update = update_splits(folds_of(table(TEN)), rows, 1)
    assert sorted(len(fold["val"]) for fold in update.splits) == [6] * 5
    assert sum("Q0 validates fold" in line for line in update.changes) == 1


def test_new_cases_of_known_patients_join_them():
    update = update_splits(folds_of(table(TEN, cases=1)), table(TEN, cases=2), 1)
    assert all(not fold_problems(fold, table(TEN, cases=2)) for fold in update.splits)
    assert any("new cases of known patients" in line for line in update.changes)


def test_the_tables_own_validation_patients_replace_folds():
    rows = table({**TEN, "P0": "val", "P1": "val"})
    update = update_splits(folds_of(table(TEN)), rows, 1)
    assert len(update.splits) == 1
    assert {c[:2] for c in update.splits[0]["val"]} == {"P0", "P1"}
    assert "made again" in update.changes[0]


def test_a_fold_made_by_hand_keeps_its_sides_and_trains_on_new_patients():
    rows = table({f"P{number}": "train" for number in range(4)})
    by_hand = [{"train": ["P0_T1", "P0_T2"], "val": ["P1_T1", "P1_T2"]}]
    (fold,) = update_splits(by_hand, [*rows, *table({"Q": "train"})], 1).splits
    assert {case.split("_")[0] for case in fold["train"]} == {"P0", "P2", "P3", "Q"}


def test_a_fold_is_checked_against_the_table():
    rows = table({"P0": "train", "P1": "train", "P2": "test"})
    fold = {"train": ["P0_T1", "P2_T1"], "val": ["P1_T1", "P1_T2", "gone"]}
    assert [problem.fault for problem in fold_problems(fold, rows)] == [
        Fault.LEAK,
        Fault.UNEXPECTED,
        Fault.MISSING,
    ]
    assert fold_problems(fold, []) == []
    both = {"train": ["P0_T1", "P0_T2"], "val": ["P1_T1", "P1_T2", "P0_T1"]}
    assert [problem.fault for problem in fold_problems(both, rows)] == [Fault.LEAK]


@settings(deadline=None)
@given(
    before=st.dictionaries(st.integers(0, 20), st.sampled_from(("train", "test")), min_size=4),
    after=st.dictionaries(st.integers(0, 20), st.sampled_from(("train", "test", "val"))),
)
def test_updated_folds_always_agree_with_the_table(before, after):
    def rows_of(patients):
        return table({f"P{number:02d}": split for number, split in patients.items()})

    learning = [name for name, split in after.items() if split != "test"]
    if sum(split == "train" for split in before.values()) < 2 or len(learning) < 2:
        return
    if all(after[name] == "val" for name in learning):
        return
    earlier = folds_of(rows_of(before))
    update = update_splits(earlier, rows_of(after), 1)
    assert all(not fold_problems(fold, rows_of(after)) for fold in update.splits)
    assert bool(update.changes) == (update.splits != earlier)
    # Who stays a training patient stays on its side of every fold, unless folds are made again.
    if len(update.splits) == len(earlier) and not any("again" in c for c in update.changes):
        for old, new in zip(earlier, update.splits, strict=True):
            assert set(old["val"]) & set(new["train"]) == set()
            assert set(old["train"]) & set(new["val"]) == set()
