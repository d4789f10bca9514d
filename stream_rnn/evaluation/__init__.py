"""Evaluation: how well a bundle predicts the events of a log, and what its memory is worth."""
