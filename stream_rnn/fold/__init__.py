"""The fold of a partition's log into hidden states and predictions.  Start with processor.py."""
