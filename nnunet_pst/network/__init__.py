"""The 2.5D network, its input, its loss: PyTorch without nnU-Net.

Other rooms use

- `unet25d`: the network; its path and keywords are written in trained plans;
- `bags`: sizes and members of bags, and logits of a whole volume;
- `augmentation`, `intensity`, `losses`: training and its input;
- `encoder_weights`, `first_layer`: pretrained weights for the encoder;
- `openvino_engine`: the network computed by OpenVINO.
"""

from typing import Literal

#: How a pretrained first layer meets the slices of a bag; see `first_layer`, which loads torch.
FirstLayer = Literal["rgb", "center", "near", "mean"]

#: Which encoder weights a training starts from; see `encoder_weights`, which loads torch.
ENCODER_WEIGHTS_VARIABLE = "NNUNET_PST_ENCODER_WEIGHTS"
