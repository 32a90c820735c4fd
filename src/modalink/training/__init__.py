"""Training: the stages of a recipe, one after the other, in a run folder that can always be resumed.

Read `train.py` first (a run), then `stages/supervised.py` (a stage), then `loop.py` (a step).
"""
