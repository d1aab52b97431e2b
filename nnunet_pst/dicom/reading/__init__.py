"""DICOM files as stacks of slices, and stacks as volumes."""
