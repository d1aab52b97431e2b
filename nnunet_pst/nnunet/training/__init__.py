"""Training: slices, bags, batches, the trainers and their settings."""
