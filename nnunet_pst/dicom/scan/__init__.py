"""What each series of a study is, and which one to take for each sequence.

For other rooms: `scanning` writes a cohort table from a tree of studies, `studies` finds the
sequences of one study.
"""
