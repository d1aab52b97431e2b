"""Measures of one mask against one reference."""
