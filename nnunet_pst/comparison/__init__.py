"""Several methods on the same patients: statistics, figures, conclusions."""
