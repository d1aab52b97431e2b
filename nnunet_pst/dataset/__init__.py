"""From the cohort table to an nnU-Net raw dataset.

For other rooms:

- `conversion`: the conversion itself; `conversion_settings`: what decides it
- `cohort_table`: the table, read and checked, as a `cohort`
- `covariates`: which of its columns may be shared
- `layouts`: how a patient's sequences become cases (for ``dataset_conversion/``)
- `annotation`: the rules for known and unknown slices; `slice_ranges`: slices as ``7-17,20``
- `raw_dataset`, `conversion_journal`: where the files of a dataset are, and its key
- `splits`: folds by patient
"""
