"""From a model to scores: what it is asked, what it answers, the benchmarks, their metrics, judges and error bars.

Read `scoring.py` first (files in, a report out), then `benchmarks/_base.py` (what a benchmark is), then any benchmark;
for the way from a run to predictions `running.py`.
"""
