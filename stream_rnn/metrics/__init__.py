"""Scores of predictions against targets, naive baselines, confidence intervals."""
