"""MME, perception and cognition together."""

from modalink.scoring.benchmarks._mme import COGNITION, PERCEPTION, mme

benchmark = mme("MME, perception and cognition", (*PERCEPTION, *COGNITION))
