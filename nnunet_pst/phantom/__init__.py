"""A synthetic cohort of pelvic MRI with known truth: for plumbing and tests, not for medicine."""
