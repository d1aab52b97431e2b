"""One new study to masks, measures and a page."""
