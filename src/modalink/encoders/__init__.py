"""Modality encoders: one file a kind, found by its name."""
