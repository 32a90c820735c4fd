"""Sounds of the tiny world: one to three notes, one after the other."""
