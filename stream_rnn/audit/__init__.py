"""A predictions topic held against a replay of its source."""
