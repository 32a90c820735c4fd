"""RefCOCO+: short expressions without position words."""

from modalink.scoring.benchmarks._grounding import grounding

benchmark = grounding("RefCOCO+", "Yu et al. 2016", ("refcoco+_*.json*", "refcoco_plus_*.json*"), ("refcoco+",))
