"""Masks as DICOM objects: SEG and RTSTRUCT."""
