"""The tiny world: questions, captions and drawings on its held-out split, beside their baselines."""

from modalink.evaluation.evaluators import Evaluator
from modalink.evaluation.tiny_world import Sizes, evaluate

EVALUATOR = Evaluator(options=Sizes, evaluate=lambda system, sizes, on_task: evaluate(system, sizes, on_task=on_task))
