"""Bringing one sequence of a patient onto another's grid, and saying when that failed.

A registration is only ever used when it is measurably no worse than the scanner's own coordinates
(`policy`); ANTs or SimpleITK estimate the motion, the resampling is always ours (`resampling`).
"""
