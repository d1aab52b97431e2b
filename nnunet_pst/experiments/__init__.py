"""Many trainings: sweep, jobs, the paper's tables, the demo."""
