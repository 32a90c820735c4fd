"""MME perception."""

from modalink.scoring.benchmarks._mme import PERCEPTION, mme

benchmark = mme("MME perception", PERCEPTION)
