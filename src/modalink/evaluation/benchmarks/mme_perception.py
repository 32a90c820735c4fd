"""MME perception."""

from modalink.evaluation.benchmarks._mme import PERCEPTION, mme

benchmark = mme("MME perception", PERCEPTION)
