"""The values of a dataset's labels, as `dataset.json` names them."""

from __future__ import annotations

import numpy as np
import pytest

from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.label_values import OUR_LABELS, LabelValues, is_foreground, read_label_values
from nnunet_pst.io.slice_kinds import SliceKind, kinds_of_label

TWO = {"background": 0, "bone": 1, "soft": 2, "ignore": 3}


@pytest.mark.parametrize(
    ("labels", "classes", "ignore"),
    [
        (TWO, {"bone": 1, "soft": 2}, 3),
        ({"background": 0, "lesion": 1}, {"lesion": 1}, None),
        ({"ignore": 3, "b": 2, "a": 1, "background": 0}, {"a": 1, "b": 2}, 3),
    ],
)
def test_classes_and_ignore(labels, classes, ignore):
    values = read_label_values({"labels": labels}, "d")
    assert values == LabelValues(classes, ignore)
    assert list(values.classes) == list(classes)


@pytest.mark.parametrize(
    ("labels", "fault"),
    [
        (None, Fault.MISSING),
        ({}, Fault.MISSING),
        ([0, 1], Fault.MISSING),
        ({"background": 0, "whole": [1, 2], "core": [2], "ignore": 3}, Fault.UNSUPPORTED),
        ({"background": 0, "ignore": 1}, Fault.EMPTY),
        ({"background": 0}, Fault.EMPTY),
        ({"tumor": 1}, Fault.MALFORMED),
        ({"background": 1, "tumor": 2}, Fault.MALFORMED),
        ({"background": 0, "tumor": 2}, Fault.MALFORMED),
        ({"background": 0, "tumor": 1, "more": 1}, Fault.MALFORMED),
        ({"background": 0, "tumor": 2, "ignore": 1}, Fault.MALFORMED),
        ({"background": 0, "tumor": 1, "ignore": 4}, Fault.MALFORMED),
        ({"background": 0, "tumor": "1"}, Fault.MALFORMED),
        ({"background": 0, "tumor": True}, Fault.MALFORMED),
    ],
)
def test_labels_that_are_refused_in_one_line(labels, fault: Fault):
    with pytest.raises(InputError) as caught:
        read_label_values({"labels": labels} if labels is not None else {}, "DatasetX")
    (problem,) = caught.value.problems
    assert problem.fault is fault
    assert problem.startswith("DatasetX: ")


def test_several_classes_in_three_states():
    values = read_label_values({"labels": TWO}, "d")
    label = np.array([[[-1, 0, 1, 2, 3]]])
    assert values.three_states(label).tolist() == [[[0, 0, 1, 1, 2]]]
    assert values.three_states(label, "soft").tolist() == [[[0, 0, 0, 1, 2]]]
    assert is_foreground(label, None).tolist() == [[[False, False, True, True, True]]]
    assert OUR_LABELS.three_states(label) is label


def test_slices_with_any_class_are_lesions_and_wholly_ignored_ones_unknown():
    label = np.zeros((6, 2, 2), dtype=np.int8)
    label[0] = label[3] = 3
    label[1, 0, 0], label[2, 0, 0] = 1, 2
    label[4] = -1
    kinds = SliceKind.UNKNOWN, SliceKind.LESION, SliceKind.LESION, SliceKind.UNKNOWN
    assert kinds_of_label(label, 3).tolist() == [*kinds, SliceKind.FREE, SliceKind.FREE]
    label[0] = label[3] = 0
    assert SliceKind.UNKNOWN not in kinds_of_label(label, None)
