"""Output projectors: one file a kind, found by its name."""
