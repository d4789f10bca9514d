"""How a partition's log becomes hidden states and predictions.  Start with processor.py."""
