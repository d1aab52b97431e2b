"""DICOM in and out.

For other rooms:

- `reading`: what a cell of a cohort table means, as a volume or a mask on its grid
- `scan`: the sequences of a study, and a cohort table from a tree of studies
- `writing`: SEG and RTSTRUCT of a mask
- `reading.files`: which files are DICOM, and text that is safe to print
"""
