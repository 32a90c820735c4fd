"""LLaVA and LLaVA-1.5: a vision tower, two linear maps, a causal LM (arXiv 2304.08485, 2310.03744)."""

from typing import Any

from modalink.interop._llava import LLM, mlp, projector_names, tower
from modalink.interop.family import Family, Source
from modalink.interop.names import NameMap
from modalink.recipe import Paper


def parts(source: Source) -> dict[str, Any]:
    """The parts, each in the checkpoint."""
    return {
        "inputs": {"image": {"encoder": tower(source), "projector": mlp(source)}},
        "llm": source.checkpoint,
    }


def names(source: Source) -> NameMap:
    """The weights of the tower, of the maps and of the LLM."""
    return NameMap({"model.vision_tower.": "model.encoders.image.tower."} | projector_names("image") | LLM)


FAMILY = Family(
    architecture="LlavaForConditionalGeneration",
    paper=Paper(title="Improved Baselines with Visual Instruction Tuning", year=2023, arxiv="2310.03744"),
    parts=parts,
    names=names,
    template="vicuna-v1.1",
)
