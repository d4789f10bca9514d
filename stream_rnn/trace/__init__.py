"""One key's events unrolled: predictions, gates, a picture."""
