"""MME cognition."""

from modalink.evaluation.benchmarks._mme import COGNITION, mme

benchmark = mme("MME cognition", COGNITION)
