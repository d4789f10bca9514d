"""Hidden states: what is kept of a key, in Redis or in memory."""
