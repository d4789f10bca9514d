"""How Faust runs the fold: batches by transport, positions by recovery, one task per partition."""
