"""Layouts: how the sequences of a cohort become nnU-Net cases."""
