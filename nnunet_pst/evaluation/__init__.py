"""One method's masks against the reference.

Other rooms use

- `evaluate`: scores of a folder of masks, with tables and pictures;
- `references`, `prediction_names`: which cases are scored, and which files belong to them;
- `averaging`: the order of averaging, for every mean over patients;
- `score_tables`: the tables of an evaluation;
- `metrics.measures`, `metrics.diameters`: what is measured, and the longest diameter.
"""
