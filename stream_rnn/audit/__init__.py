"""Audits: published predictions and dead letters compared with a replay of their source."""
