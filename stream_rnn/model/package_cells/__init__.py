"""Cells that are classes with one interface: those that come with this package, and those of others."""
