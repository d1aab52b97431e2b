"""One page about a comparison."""
