"""What each series of a study is, and which one to take for each sequence."""
