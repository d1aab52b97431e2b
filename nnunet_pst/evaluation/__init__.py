"""One method's masks against the reference."""
