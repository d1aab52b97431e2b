import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nnunet_pst.io.slice_kinds import SliceKind, kinds_of_label
from nnunet_pst.network.bags import bag_members
from nnunet_pst.nnunet.training.slice_sampling import CaseSlices, SliceSampler

presence = hnp.arrays(bool, st.integers(1, 12))
labels = hnp.arrays(np.int8, st.tuples(st.integers(1, 8), st.just(2), st.just(2)),
                    elements=st.sampled_from([-1, 0, 1, 2]))  # fmt: skip
odd = st.sampled_from([1, 3, 5, 7])


@given(presence, odd)
def test_a_bag_holds_its_center_and_only_present_slices(present, slices):
    members = bag_members(present, slices)
    index = np.arange(len(present))
    assert (members[:, slices // 2] == index).all()
    for center in np.flatnonzero(present):
        assert present[members[center]].all()
        assert (np.abs(members[center] - center) <= slices // 2).all()
        assert (np.diff(members[center]) >= 0).all()


@given(presence, odd)
def test_turning_a_volume_upside_down_turns_its_bags(present, slices):
    members = bag_members(present, slices)
    turned = bag_members(present[::-1], slices)
    assert (turned == (len(present) - 1 - members)[::-1, ::-1]).all()


@given(labels)
def test_kinds_say_what_the_label_says(label):
    kinds = kinds_of_label(label)
    for kind, image in zip(kinds, label, strict=True):
        assert (kind == SliceKind.LESION) == (image == 1).any()
        assert (kind == SliceKind.UNKNOWN) == (image == 2).all()


cases = st.lists(
    hnp.arrays(np.int8, st.integers(1, 6), elements=st.sampled_from(list(SliceKind))),
    min_size=1,
    max_size=6,
).filter(lambda kinds: any((k != SliceKind.UNKNOWN).any() for k in kinds))


@given(cases, st.integers(0, 2**32 - 1), st.randoms())
@settings(max_examples=50)
def test_no_unknown_slice_is_ever_drawn_and_order_changes_nothing(kinds, seed, random):
    cohort = [CaseSlices(f"c{i}", f"p{i % 3}", f"s{i}", k) for i, k in enumerate(kinds)]
    draws = SliceSampler(cohort, 0.5, 0.1).draw(12, np.random.default_rng(seed))
    by_name = {case.case: case for case in cohort}
    assert all(by_name[d.case].kinds[d.center] != SliceKind.UNKNOWN for d in draws)
    random.shuffle(cohort)
    assert SliceSampler(cohort, 0.5, 0.1).draw(12, np.random.default_rng(seed)) == draws
