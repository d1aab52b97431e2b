"""The 2.5D network."""
