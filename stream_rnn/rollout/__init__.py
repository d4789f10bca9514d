"""Two folds of one partition side by side, and the cut-over from one to the other.  Start with plan.py."""
