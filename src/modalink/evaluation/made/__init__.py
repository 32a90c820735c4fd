"""Benchmarks of media that a system makes: `evaluate.py` is the whole, read it first."""
