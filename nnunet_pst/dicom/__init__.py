"""DICOM in: files to series to volumes, structures and segments to masks, series to sequences."""
