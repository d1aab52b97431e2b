"""Trainers that nnU-Net finds through nnUNet_extTrainer: one class of settings a file."""
