"""The report of an evaluation: a page, its charts and its sentences."""
