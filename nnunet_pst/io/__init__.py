"""Images, tables and files on disk: whole or absent.

For every other room:

- `geometry`, `volumes`: grids, and images and masks as arrays (z, y, x)
- `image_paths`: what a path in a table cell means
- `mask_resampling`, `mask_outlines`, `slice_kinds`: masks on another grid, as polygons, by slice
- `label_values`: which classes a dataset has, and its value for unknown
- `case_table`: ``cases.csv`` of a dataset
- `sequence_columns`, `number_columns`: what the columns of a cohort table mean
- `csv_text`, `checked_tables`: CSV as we write it, and tables of strangers as we read them
- `atomic_files`: files and folders that are written beside their place and moved there
- `claims`, `file_locks`, `leftovers`: one command at a time in a place, and what killed ones left
- `digests`, `figures`: what was written is what was meant; voxels that occur twice
- `real_paths`, `quiet_libraries`: odd paths, and libraries in C that print by themselves
- `dataset_folders`: the folder of a dataset that is given by name or path
- `templates`: one environment for all HTML pages
- `workers`: one task over many items, in several processes
- `rounding`, `wording`: numbers and names of measures as people read them
- `viewer_labels`: label colors for ITK-SNAP and 3D Slicer
"""
