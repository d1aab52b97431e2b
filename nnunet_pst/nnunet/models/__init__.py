"""Trained models: files, checks, prediction.

Other rooms load a model with `prediction.load_model` and write its manifest with
`files.write_manifest`; everything else here is used by these two.
"""
