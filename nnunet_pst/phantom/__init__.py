"""A synthetic cohort with known truth.

Other rooms use `cohort`: `write_cohort`, the name of its table and the coarse window.
"""
