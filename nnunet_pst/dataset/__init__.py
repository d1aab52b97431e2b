"""From the cohort table to an nnU-Net raw dataset."""
