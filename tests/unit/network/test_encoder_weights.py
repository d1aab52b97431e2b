import pytest
import torch
from safetensors.torch import save_file

from nnunet_pst.errors import Fault, InputError
from nnunet_pst.network.encoder_weights import VARIABLE, load_encoder_weights
from nnunet_pst.network.unet25d import Unet25D


def donor():
    from segmentation_models_pytorch.encoders import get_encoder

    torch.manual_seed(7)
    return get_encoder("mobilenet_v2", in_channels=3, weights=None)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    file = tmp_path_factory.mktemp("weights") / "donor.safetensors"
    save_file(donor().state_dict(), file)
    return file


def first_layer(network):
    return network.unet.encoder.state_dict()["features.0.0.weight"]


def test_a_safetensors_file_is_used_and_named(weights, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(weights))
    network = Unet25D(1, 2)
    origin = load_encoder_weights(network, "mobilenet_v2", first_layer="rgb")
    assert torch.equal(first_layer(network), donor().state_dict()["features.0.0.weight"])
    assert "donor.safetensors" in origin
    assert str(weights.parent) not in origin


def test_a_torchvision_state_dict_is_used(tmp_path, monkeypatch):
    state = {**donor().state_dict(), "classifier.1.weight": torch.zeros(1000, 1280)}
    torch.save(state, tmp_path / "mobilenet.pth")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "mobilenet.pth"))
    network = Unet25D(1, 2)
    load_encoder_weights(network, "mobilenet_v2", first_layer="rgb")
    assert torch.equal(first_layer(network), donor().state_dict()["features.0.0.weight"])


@pytest.mark.parametrize(("channels", "slices"), [(2, 3), (1, 1)])
def test_rgb_fits_any_bag_as_smp_does_it(weights, monkeypatch, channels, slices):
    from segmentation_models_pytorch.encoders._utils import patch_first_conv

    monkeypatch.setenv(VARIABLE, str(weights))
    network = Unet25D(channels, 2, slices_per_bag=slices)
    load_encoder_weights(network, "mobilenet_v2", first_layer="rgb")
    expected = donor()
    patch_first_conv(expected, channels * slices, pretrained=True)
    assert torch.equal(first_layer(network), expected.state_dict()["features.0.0.weight"])


@pytest.mark.parametrize("channels", [1, 2])
def test_center_starts_as_the_network_of_one_slice(weights, monkeypatch, channels):
    monkeypatch.setenv(VARIABLE, str(weights))
    torch.manual_seed(1)
    one = Unet25D(channels, 2, slices_per_bag=1)
    three = Unet25D(channels, 2)
    three.load_state_dict(
        {k: v for k, v in one.state_dict().items() if "features.0.0" not in k}, strict=False
    )
    load_encoder_weights(one, "mobilenet_v2", first_layer="center")
    load_encoder_weights(three, "mobilenet_v2", first_layer="center")
    bags = torch.rand(2, channels, 3, 64, 64)
    with torch.inference_mode():
        expected = one.eval()(bags[:, :, 1])
        assert torch.allclose(three.eval()(bags.flatten(1, 2)), expected, atol=1e-5)


def test_none_changes_nothing_and_is_logged(monkeypatch):
    monkeypatch.setenv(VARIABLE, "none")
    network = Unet25D(1, 2)
    before = first_layer(network).clone()
    assert load_encoder_weights(
        network, "mobilenet_v2", first_layer="rgb", freeze_norms=True
    ).startswith("none")
    assert torch.equal(first_layer(network), before)
    # The statistics of random weights come from no image and are not kept.
    assert not network.encoder_norms_frozen


def norms(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Copy the statistics of batch norms."""
    return {k: v.clone() for k, v in module.state_dict().items() if "running" in k}


def learn(network: Unet25D) -> None:
    network.train()
    network(torch.rand(2, 3, 64, 64) + 5).sum().backward()


def test_pretrained_norms_stay_and_the_decoders_learn(weights, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(weights))
    network = Unet25D(1, 2, canvas=64)
    load_encoder_weights(network, "mobilenet_v2", first_layer="rgb", freeze_norms=True)
    encoder, decoder = norms(network.unet.encoder), norms(network.unet.decoder)
    learn(network)
    assert all(torch.equal(v, encoder[k]) for k, v in norms(network.unet.encoder).items())
    assert not any(torch.equal(v, decoder[k]) for k, v in norms(network.unet.decoder).items())
    scale = network.unet.encoder.get_parameter("features.0.1.weight")
    assert scale.grad is not None
    assert scale.grad.abs().sum() > 0


def test_a_model_from_before_the_flag_still_loads():
    state = Unet25D(1, 2, canvas=64).state_dict()
    del state["encoder_norms_frozen"]
    network = Unet25D(1, 2, canvas=64)
    network.load_state_dict(state)
    assert not network.encoder_norms_frozen


def test_a_resumed_network_keeps_its_norms_and_an_unfrozen_one_does_not(weights, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(weights))
    for freeze in (True, False):
        network = Unet25D(1, 2, canvas=64)
        load_encoder_weights(network, "mobilenet_v2", first_layer="rgb", freeze_norms=freeze)
        resumed = Unet25D(1, 2, canvas=64)
        resumed.load_state_dict(network.state_dict())
        before = norms(resumed.unet.encoder)
        learn(resumed)
        unchanged = [torch.equal(v, before[k]) for k, v in norms(resumed.unet.encoder).items()]
        assert all(unchanged) if freeze else not any(unchanged)


class Evil:
    def __reduce__(self):
        return print, ("code ran",)


@pytest.mark.parametrize("kind", ["missing", "garbage", "code", "other network"])
def test_a_bad_file_is_refused_with_remedies(tmp_path, monkeypatch, capsys, kind):
    file = tmp_path / "weights.pth"
    if kind == "garbage":
        file.write_bytes(b"not weights")
    elif kind == "code":
        torch.save({"features.0.0.weight": Evil()}, file)
    elif kind == "other network":
        torch.save({"conv1.weight": torch.zeros(1)}, file)
    monkeypatch.setenv(VARIABLE, str(file))
    with pytest.raises(InputError, match="'none'"):
        load_encoder_weights(Unet25D(1, 2), "mobilenet_v2", first_layer="rgb")
    assert "code ran" not in capsys.readouterr().out


def test_without_hub_and_file_training_stops(monkeypatch):
    import segmentation_models_pytorch.encoders as encoders

    def no_network(*arguments, **options):
        raise ConnectionError("no route")

    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(encoders, "get_encoder", no_network)
    with pytest.raises(InputError) as stopped:
        load_encoder_weights(Unet25D(1, 2), "mobilenet_v2", first_layer="rgb")
    assert stopped.value.fault is Fault.MISSING
    assert len(stopped.value.problems) == 1
