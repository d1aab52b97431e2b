"""What is measured between a prediction and its reference."""
