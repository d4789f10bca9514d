"""The Faust worker: it delivers whole fetches to the fold and runs one task for each partition."""
