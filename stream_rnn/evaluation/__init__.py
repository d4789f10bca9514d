"""How good a bundle is on a log, and what its memory is worth."""
