"""RefCOCO: short expressions for things in COCO images, where position words are allowed."""

from modalink.scoring.benchmarks._grounding import grounding

benchmark = grounding("RefCOCO", "Yu et al. 2016", ("refcoco_[tv]*.json*",))
