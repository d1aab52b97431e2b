"""Several methods on the same patients: statistics, figures, conclusions.

Other rooms use

- `compare`, `inputs`: a comparison from folders of masks, and what a user decides about it;
- `methods`, `trained_methods`: methods by the names and folders that a user gives, or as trained;
- `results`, `results_folder`: a finished comparison;
- `conclusions`: what may be said of it;
- `figure_style`, `paired_figures`, `difference_figure`: its figures, and how figures look.
"""
