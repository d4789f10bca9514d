"""The network unrolled over the events of one key: predictions, gates, and a picture."""
