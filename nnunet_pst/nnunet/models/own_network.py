"""The folds of one of our own networks, computed by an engine instead of nnU-Net's predictor.

The predictor hands the network one mirrored volume after another and knows nothing of slices. Here
the network gets its slices directly, and the engine need not be PyTorch. Averages, weights and
rounding, and their order, are the predictor's. Only images that are larger than the plans' patch
differ: all their tiles have the gray scale of the volume.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nnunet_pst.calibration.signs import Signs, SignsOfNetworks
from nnunet_pst.errors import Fault, HostError
from nnunet_pst.network.bags import RunBags, volume_logits, volume_windows
from nnunet_pst.network.unet25d import Unet25D
from nnunet_pst.nnunet.models.sliding_window import sliding_window_logits


@dataclass(frozen=True)
class Answer:
    """Of a model's networks together.

    Attributes
    ----------
    logits
        (k, z, y, x), in half precision, on the CPU.
    signs
        Of how far it can be believed; None where they are of another kind than one network's.
    """

    logits: Tensor
    signs: Signs | None


class OwnNetwork:
    """Networks of one shape, one for each fold.

    Parameters
    ----------
    networks
        With their weights.
    patch_size
        Of the plans, (z, y, x).
    mirror_axes
        Axes of (z, y, x) to mirror along.
    device
        Where PyTorch computes.
    engine
        ``torch``, ``openvino`` or ``openvino-bf16``.

    Raises
    ------
    HostError
        When the engine is not installed, or doesn't compute on that device.
    """

    def __init__(
        self,
        networks: Sequence[Unet25D],
        *,
        patch_size: Sequence[int],
        mirror_axes: Sequence[int],
        device: str,
        engine: str,
    ) -> None:
        self._networks = [network.to(device).eval() for network in networks]
        self._patch_size, self._mirror_axes = tuple(patch_size), tuple(mirror_axes)
        self._device = torch.device(device)
        self._runs, self.precision = _runs(self._networks, engine, device)

    @torch.inference_mode()
    def predict(self, data: Tensor) -> Answer:
        """Predict a preprocessed case (c, z, y, x); see `Answer`."""
        data = data.to(self._device)
        total: Tensor | None = None
        signs = SignsOfNetworks()
        for network, run in zip(self._networks, self._runs, strict=True):
            with _host_precision(self._device):
                maps = self._fold(data, network, run).cpu()
            # The last map is the mirrorings' share, where there are several.
            logits, share = (maps[:-1], maps[-1]) if self._mirror_axes else (maps, None)
            signs.add(
                logits.numpy(),
                None if share is None else share.numpy(),
                2 ** len(self._mirror_axes),
            )
            total = logits if total is None else total.add_(logits)
        assert total is not None
        if len(self._networks) > 1:
            total.div_(len(self._networks))
        return Answer(total, signs.all_together())

    def _fold(self, data: Tensor, network: Unet25D, run: RunBags) -> Tensor:
        # One gray scale for the volume; the host, whose network sees tiles only, has one a tile.
        windows = volume_windows(data, network.bag_format)

        def predict_tile(tile: Tensor) -> Tensor:
            return volume_logits(
                tile,
                network.bag_format,
                run,
                mirror_axes=self._mirror_axes,
                at_once=network.batch_size,
                windows=windows,
                share=bool(self._mirror_axes),
            )

        return sliding_window_logits(data, self._patch_size, predict_tile)


def _runs(networks: Sequence[Unet25D], engine: str, device: str) -> tuple[list[RunBags], str]:
    """Return each network's function to compute bags, and the precision of its products."""
    if engine == "torch":
        precision = "float32" if device == "cpu" else "float16"
        return [network.run_bags for network in networks], precision
    if device != "cpu":
        raise HostError(
            f"--engine {engine} computes on the CPU; add --device cpu", Fault.CONTRADICTION
        )
    from nnunet_pst.network.openvino_engine import OpenVINONetwork

    bfloat16 = engine == "openvino-bf16"
    compiled = [OpenVINONetwork(network, bfloat16=bfloat16) for network in networks]
    return [network.run_bags for network in compiled], compiled[0].precision


def _host_precision(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Mix precisions where the host does: on a GPU only."""
    return torch.autocast(device.type) if device.type == "cuda" else contextlib.nullcontext()
