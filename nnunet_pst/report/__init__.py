"""One page that says what a comparison found, from what, and how far it can be trusted."""
