"""Which model segments which sequence of a study, and its messages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.geometry import Grid
from nnunet_pst.segmentation.model_interface import (
    choose_models,
    model_warnings,
)
from nnunet_pst.segmentation.study import SegmentationSettings, segment_study
from segmentation_example import GRID, UNREGISTERED, Threshold, image, study


def test_a_single_model_takes_every_sequence():
    model = Threshold("MRI")
    result = segment_study(study("T1", "T2").read(), choose_models([model]), UNREGISTERED)
    assert [one.name for one in result.results] == ["T1", "T2"]
    assert [len(channels) for channels in model.calls] == [1, 1]
    assert result.results[0].measures.volume_ml == pytest.approx(4 * 6 * 7 * GRID.voxel_volume_ml)
    (pair,) = result.agreement["pairs"]
    assert pair == {
        "sequences": ["T1", "T2"],
        "space": "T2",
        "dice": 1.0,
        "covered": {"T1": 1.0, "T2": 1.0},
        "alignment": "not registered",
        "reason": "",
    }


def test_the_fusion_model_segments_its_first_channel_and_the_other_model_the_rest():
    single, fusion = Threshold("MRI"), Threshold("T2", "CET1", digest="b")
    models = choose_models([fusion, single])
    result = segment_study(study("CET1", "T1", "T2").read(), models, UNREGISTERED)
    used = {one.name: (one.model, one.channels) for one in result.results}
    assert used == {
        "CET1": ("MRI", ("CET1",)),
        "T1": ("MRI", ("T1",)),
        "T2": ("T2-CET1", ("T2", "CET1")),
    }
    (channels,) = fusion.calls
    assert [len(one.array) for one in channels] == [8, 8]


def test_without_a_channel_the_other_model_takes_over():
    single, fusion = Threshold("MRI"), Threshold("T2", "CET1", digest="b")
    result = segment_study(study("T2").read(), choose_models([single, fusion]), UNREGISTERED)
    assert [one.model for one in result.results] == ["MRI"]
    assert fusion.calls == []
    with pytest.raises(InputError) as caught:
        segment_study(study("T2").read(), choose_models([fusion]), UNREGISTERED)
    assert caught.value.fault is Fault.MISSING


def test_a_fusion_model_alone_names_the_sequences_that_it_left_out():
    models = choose_models([Threshold("T2", "CET1")])
    result = segment_study(study("T2", "CET1", "DWI").read(), models, UNREGISTERED)
    assert [one.name for one in result.results] == ["T2"]
    assert result.missing == ("CET1", "DWI")


def test_channels_are_resampled_to_the_grid_of_the_first_channel():
    larger = Grid((30, 26, 12), (1.5, 1.5, 5.0), (-18.0, 1.0, 20.0), GRID.direction)
    fusion = Threshold("T2", "CET1")
    one = study("T2", "CET1", CET1=image(7, tumor=False, grid=larger))
    segment_study(one.read(), choose_models([fusion]), UNREGISTERED)
    (channels,) = fusion.calls
    assert channels[1].grid == GRID
    assert channels[1].array.dtype == np.int16
    # The larger image's voxels from (2, 4, 4) on, unchanged.
    assert np.array_equal(
        channels[1].array, image(7, tumor=False, grid=larger).array[2:10, 4:22, 4:24]
    )


def test_the_consensus_is_the_mean_where_there_are_voxels():
    settings = SegmentationSettings(consensus=True, registration=UNREGISTERED.registration)
    dark = image(3, tumor=False)
    # One of three sequences shows no tumor: the mean probability is still above one half.
    result = segment_study(
        study("T1", "T2", "CET1", T1=dark).read(), choose_models([Threshold("MRI")]), settings
    )
    by_name = {one.name: one for one in result.results}
    assert not by_name["T1"].mask.any()
    assert np.array_equal(by_name["consensus"].mask, by_name["T2"].mask)
    assert by_name["consensus"].channels == ("T1", "T2", "CET1")


def test_a_sequence_elsewhere_has_no_vote_where_it_has_no_voxels():
    settings = SegmentationSettings(consensus=True, registration=UNREGISTERED.registration)
    above = Grid(GRID.size_xyz, GRID.spacing_xyz_mm, (-12.0, 7.0, 55.0), GRID.direction)
    dark, darker = (image(seed, tumor=False, grid=above) for seed in (3, 4))
    result = segment_study(
        study("T2", "T1", "DWI", T1=dark, DWI=darker).read(),
        choose_models([Threshold("MRI")]),
        settings,
    )
    consensus = result.results[-1].mask
    # The others begin at slice 5: below it, T2 alone decides; above, they outvote it.
    assert np.array_equal(consensus[:5], result.results[0].mask[:5])
    assert not consensus[5:].any()


def test_an_unknown_sequence_is_refused_before_the_segmentation():
    model = Threshold("MRI")
    with pytest.raises(InputError) as caught:
        segment_study(study("T7", "T2", "FLAIR").read(), choose_models([model]), UNREGISTERED)
    assert caught.value.fault is Fault.UNKNOWN_NAME
    known = "known are T1, T2, DWI, CET1"
    assert caught.value.problems == [
        f"{name}: no model knows a sequence of this name; {known}" for name in ("T7", "FLAIR")
    ]
    assert model.calls == []


@pytest.mark.parametrize("learned", [("T1", "Stir"), ()])
def test_a_sequence_of_the_models_own_is_taken(learned: tuple[str, ...]):
    model = Threshold("MRI")
    model.facts = replace(model.facts, sequences=learned)
    result = segment_study(study("STIR", "DWI").read(), choose_models([model]), UNREGISTERED)
    assert [one.name for one in result.results] == ["STIR", "DWI"]


def test_models_of_one_kind_are_refused():
    with pytest.raises(InputError) as caught:
        choose_models([Threshold("MRI"), Threshold("MRI")])
    assert caught.value.fault is Fault.AMBIGUOUS


def test_images_unlike_the_training_images_give_warnings():
    facts = Threshold("MRI").facts
    assert model_warnings(facts, ["T2"], GRID) == []
    thick = Grid(GRID.size_xyz, (1.5, 2.3, 5.0), GRID.origin_lps_mm, GRID.direction)
    first, second = model_warnings(facts, ["DWI"], thick)
    assert first == "the model was not trained on DWI (only on T1, T2, CET1)"
    assert second == (
        "outside the trained spacing: 2.30 mm between rows, trained on 1.00 to 2.00 mm"
    )
