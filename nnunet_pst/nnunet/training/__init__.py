"""Training: slices, bags, batches, the trainers and their settings.

The files in ``trainers/`` derive their classes from `base_trainer` and `timed_trainer`; other rooms
use `settings`.
"""
