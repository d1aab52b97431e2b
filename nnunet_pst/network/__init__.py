"""The 2.5D network, its input, its loss: PyTorch without nnU-Net.

Other rooms use

- `unet25d`: the network; its path and keywords are written in trained plans;
- `bags`: sizes and members of bags, and logits of a whole volume;
- `augmentation`, `intensity`, `losses`: training and its input;
- `encoder_weights`: pretrained weights for the encoder;
- `openvino_engine`: the network computed by OpenVINO.
"""

#: Which encoder weights a training starts from; see `encoder_weights`, which loads torch.
ENCODER_WEIGHTS_VARIABLE = "NNUNET_PST_ENCODER_WEIGHTS"
