"""DICOM files as stacks of slices, and stacks as volumes.

`files` finds DICOM, `datasets` and `headers` read it, `series` sorts it into stacks,
`stack_geometry` and `pixels` make volumes of them; `addresses` does all of that for a table's cell.
"""
