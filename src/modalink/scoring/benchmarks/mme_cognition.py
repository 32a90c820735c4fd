"""MME cognition."""

from modalink.scoring.benchmarks._mme import COGNITION, mme

benchmark = mme("MME cognition", COGNITION)
