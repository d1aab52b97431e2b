import pytest
import torch

from nnunet_pst.network.intensity import find_content, intensity_window, percentile, to_unit_range


def body(air=0.5, size=(4, 40, 40)):
    torch.manual_seed(0)
    volume = torch.rand(1, *size) * 800 + 200
    volume[:, :, : int(size[1] * air)] = 0
    return volume


def test_percentile_is_a_value_of_the_data():
    values = torch.tensor([5.0, 1.0, 3.0])
    assert percentile(values, 0.0) == 1
    assert percentile(values, 50.0) == 3
    assert percentile(values, 100.0) == 5


def test_any_affine_normalization_is_undone():
    volume = body()
    z_scored = (volume - volume.mean()) / volume.std()
    torch.testing.assert_close(
        to_unit_range(volume + 1), to_unit_range(z_scored), atol=1e-4, rtol=0
    )


def test_air_does_not_change_the_scale_of_tissue():
    little, much = to_unit_range(body(air=0.1) + 1), to_unit_range(body(air=0.6) + 1)
    assert float(little[0, :, -1].mean()) == pytest.approx(float(much[0, :, -1].mean()), abs=0.03)


def test_padding_is_found_and_an_interior_zero_is_not_padding():
    volume = body(air=0)
    volume[0, 2, 20, 20] = 0
    content = find_content(torch.nn.functional.pad(volume, (5, 7, 3, 0, 1, 2)))
    assert content.present.tolist() == [False, True, True, True, True, False, False]
    assert (content.rows, content.columns) == (slice(3, 43), slice(5, 45))


def test_an_empty_volume_has_no_content():
    content = find_content(torch.zeros(1, 2, 3, 3))
    assert not content.present.any()
    assert content.rows == content.columns == slice(0, 0)


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_constant_channel_survives(value):
    volume = torch.full((1, 2, 4, 4), value)
    assert torch.isfinite(to_unit_range(volume)).all()
    assert intensity_window(torch.zeros(0, 4, 4)) == (0.0, 1.0)


def test_a_missing_sequence_stays_zero():
    volume = torch.cat([body(), torch.zeros(1, 4, 40, 40)])
    assert (to_unit_range(volume)[1] == 0).all()
