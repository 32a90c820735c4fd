"""Clips of the tiny world: one or two objects that do something."""
