"""From predictions and annotations to numbers, by the official rule of each benchmark; without torch.

Read `score.py` first (files in, a report out), then `benchmark.py` (what a benchmark is), then a file in `benchmarks/`.
"""
