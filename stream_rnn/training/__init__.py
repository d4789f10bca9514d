"""From a log to a trained bundle."""
