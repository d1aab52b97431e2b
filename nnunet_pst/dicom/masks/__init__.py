"""DICOM masks as arrays: RTSTRUCT and SEG."""
