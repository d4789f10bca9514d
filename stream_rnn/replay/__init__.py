"""The same fold over a range of a log, with hidden states in memory and nothing written."""
