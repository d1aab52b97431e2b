"""Trained models: files, checks, prediction."""
