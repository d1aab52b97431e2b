"""One page about a comparison.

Other rooms use

- `writing`: the page with its figures;
- `inputs`, `dataset_facts`, `training_logs`: what the page is made from;
- `tables`, `cohort_description`: tables of a page, and the paper's Table 1.
"""
