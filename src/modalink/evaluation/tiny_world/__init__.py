"""How well a system sees, speaks and draws on the tiny world's held-out split.

Questions are asked one a sequence and answered greedily; drawings go the whole way from words to signal tokens, output
projector and generator, and are read back by a classifier. Beside each number stand the baselines that tell what
it is worth. Read `evaluate.py` first.
"""

from modalink.evaluation.tiny_world.evaluate import HeldOut, Sizes, evaluate
from modalink.evaluation.tiny_world.examples import Example
from modalink.evaluation.tiny_world.shares import Share

__all__ = ["Example", "HeldOut", "Share", "Sizes", "evaluate"]
