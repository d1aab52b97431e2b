"""A synthetic cohort with known truth."""
