"""Retrievers: one file a kind, found by its name."""
