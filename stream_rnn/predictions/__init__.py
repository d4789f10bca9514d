"""What readers get: the schema of a prediction and the once-only reader."""
