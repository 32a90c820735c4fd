"""A system put to a benchmark: what it is asked, what it answers, the file of its answers, and their scores.

Read `runner.py` first, then `dataset.py` (a benchmark's questions), `answer_file.py` (what survives an interruption).
"""
