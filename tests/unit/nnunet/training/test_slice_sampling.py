import numpy as np
import pytest

from nnunet_pst.io.slice_kinds import SliceKind, kinds_of_label
from nnunet_pst.network.bags import bag_members
from nnunet_pst.nnunet.training.slice_sampling import CaseSlices, Draw, SliceSampler, kind_odds

U, L, K, F = SliceKind.UNKNOWN, SliceKind.LESION, SliceKind.KNOWN, SliceKind.FREE


def test_border_slices_repeat_themselves():
    members = bag_members(np.ones(4, bool), 3)
    assert members.tolist() == [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 3]]


def test_absent_slices_are_replaced_by_the_last_present_one():
    members = bag_members(np.array([False, True, True, False, True]), 3)
    assert members[1].tolist() == [1, 1, 2]
    assert members[2].tolist() == [1, 2, 2]
    assert members[4].tolist() == [4, 4, 4]


def test_a_wide_bag_does_not_reach_across_a_gap():
    members = bag_members(np.array([True, False, True, True, True]), 5)
    assert members[2].tolist() == [2, 2, 2, 3, 4]


@pytest.mark.parametrize("count", [0, 2, -1])
def test_bags_have_a_center(count):
    with pytest.raises(ValueError):
        bag_members(np.ones(3, bool), count)


def test_kinds_from_a_label():
    label = np.full((9, 2, 2), 2)
    label[0] = 0  # far from the lesion: free
    label[1, 0, 0] = 2
    label[3:6] = 0
    label[4, 0, 0] = 1
    label[8] = -1  # the host's outside: known
    assert kinds_of_label(label).tolist() == [F, U, U, K, L, K, U, U, F]


def test_a_fine_label_has_no_free_negatives():
    label = np.zeros((5, 2, 2), int)
    label[2, 0, 0] = 1
    assert kinds_of_label(label).tolist() == [K, K, L, K, K]


def test_a_case_without_tumor_has_only_known_slices():
    assert kinds_of_label(np.zeros((2, 2, 2), int)).tolist() == [K, K]


def test_odds_keep_the_negative_share():
    assert kind_odds([U, L, K, F], 0.5, 0.1) == pytest.approx({L: 0.5, K: 0.4, F: 0.1})
    assert kind_odds([L, F], 0.5, 0.1) == pytest.approx({L: 0.9, F: 0.1})
    assert kind_odds([L, K], 0.5, 0.1) == pytest.approx({L: 0.5, K: 0.5})
    assert kind_odds([K], 0.5, 0.1) == pytest.approx({K: 1.0})
    assert kind_odds([F], 0.5, 0.1) == pytest.approx({F: 1.0})
    with pytest.raises(ValueError):
        kind_odds([U], 0.5, 0.1)


def cohort() -> list[CaseSlices]:
    kinds = np.array([F, U, K, L, L, K, U, U], dtype=np.int8)
    # Patient A has three sequences, B one: both must be drawn equally often.
    return [
        CaseSlices("A_T1", "A", "T1", kinds),
        CaseSlices("A_T2", "A", "T2", kinds),
        CaseSlices("A_DWI", "A", "DWI", kinds),
        CaseSlices("B_T1", "B", "T1", kinds),
        CaseSlices("C_T1", "C", "T1", np.full(4, U, dtype=np.int8)),
    ]


def test_shares_are_those_of_the_settings():
    sampler = SliceSampler(cohort(), lesion_share=0.5, negative_share=0.1)
    draws = sampler.draw(20_000, np.random.default_rng(0))
    kinds = [cohort()[0].kinds[draw.center] for draw in draws]
    share = {kind: kinds.count(kind) / len(kinds) for kind in SliceKind}
    # Binomial standard deviation at 20 000 draws is below 0.004.
    assert share == pytest.approx({U: 0.0, L: 0.5, K: 0.4, F: 0.1}, abs=0.015)
    cases = [draw.case for draw in draws]
    assert cases.count("B_T1") / len(cases) == pytest.approx(0.5, abs=1e-6)
    assert cases.count("A_T2") / len(cases) == pytest.approx(1 / 6, abs=0.015)
    assert "C_T1" not in cases


def test_draws_are_those_of_numpys_choice():
    """Number by number, so that a seed keeps its batches."""
    kinds = cohort()[0].kinds
    odds = kind_odds([SliceKind(kind) for kind in np.unique(kinds)], 0.5, 0.1)
    for seed in range(50):
        rng = np.random.default_rng(seed)
        wanted = []
        order = [name for _ in range(6) for name in rng.permutation(["A", "B"])]
        for patient in order:
            sequence = (["DWI", "T1", "T2"] if patient == "A" else ["T1"])[
                rng.integers(3 if patient == "A" else 1)
            ]
            assert rng.integers(1) == 0
            kind = rng.choice(list(odds), p=list(odds.values()))
            center = int(rng.choice(np.flatnonzero(kinds == kind)))
            wanted.append(Draw(f"{patient}_{sequence}", center))
        assert SliceSampler(cohort(), 0.5, 0.1).draw(12, np.random.default_rng(seed)) == wanted


def test_bags_of_one_patient_in_a_row():
    sampler = SliceSampler(cohort(), 0.5, 0.1, bags_per_patient=12)
    draws = sampler.draw(12, np.random.default_rng(1))
    assert len({draw.case[0] for draw in draws}) == 1


def test_a_cohort_without_known_slices_is_refused():
    sampler = SliceSampler(cohort()[-1:], 0.5, 0.1)
    with pytest.raises(ValueError):
        sampler.draw(1, np.random.default_rng(0))
