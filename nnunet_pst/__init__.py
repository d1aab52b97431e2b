"""nnunet_pst: 2.5D segmentation of pelvic and sacral tumors as a plug-in for nnU-Net v2."""

__version__ = "0.1.0"
