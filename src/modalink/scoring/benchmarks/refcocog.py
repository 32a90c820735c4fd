"""RefCOCOg: longer expressions; papers use the umd split."""

from modalink.scoring.benchmarks._grounding import grounding

benchmark = grounding("RefCOCOg", "Mao et al. 2016", ("refcocog_*.json*",))
