"""Many trainings: sweep, jobs, the paper's tables, the demo.

A roof room: the verbs ``sweep``, ``demo`` and ``report`` use it, no other room does.
"""
