"""Brings one sequence of a patient onto another's grid, and says when that failed.

A registration is used only when it is measurably no worse than the scanner's own coordinates
(`policy`). ANTs or SimpleITK estimate the motion; the resampling is always ours (`resampling`).

For other rooms:

- `policy`: settings, and the registration of two images
- `transforms`: a map between two spaces, in memory and as files
- `resampling`: images and labels on another grid
- `pictures`: a registration before and after
"""
