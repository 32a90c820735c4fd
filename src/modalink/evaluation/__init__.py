"""From predictions to scores: the benchmarks, their metrics, judges and error bars.

Read `scoring.py` first (files in, a report out), then `benchmarks/_base.py` (what a benchmark is), then any benchmark.
"""
