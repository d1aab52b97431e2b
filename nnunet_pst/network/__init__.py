"""The 2.5D network, its input, its loss: PyTorch without nnU-Net."""
