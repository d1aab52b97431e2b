"""The only modules that import nnunetv2: all contact with the host's internals."""
