"""LLaVA-NeXT (LLaVA-1.6): LLaVA that reads a large image tile by tile, a learned token behind each row of tokens."""

from typing import Any

from modalink.interop._llava import LLM, grids, mlp, projector_names, tower
from modalink.interop.family import Family, Source
from modalink.interop.names import NameMap
from modalink.recipe import Paper


def parts(source: Source) -> dict[str, Any]:
    """The parts, each in the checkpoint."""
    encoder = {
        "kind": "tiles",
        "encoder": tower(source),
        "tiles": {"grids": grids(source)},
        "merge": "spatial_unpad",
    }
    return {
        "inputs": {"image": {"encoder": encoder, "projector": mlp(source) | {"newline": "row"}}},
        "llm": source.checkpoint,
    }


def names(source: Source) -> NameMap:
    """The weights of the tower, of the maps, the learned token, and the LLM's."""
    return NameMap(
        {
            "model.vision_tower.": "model.encoders.image.encoder.tower.",
            "model.image_newline": "model.input_projectors.image.newlines.token",
        }
        | projector_names("image")
        | LLM
    )


FAMILY = Family(
    architecture="LlavaNextForConditionalGeneration",
    paper=Paper(title="LLaVA-NeXT: Improved reasoning, OCR, and world knowledge", year=2024),
    parts=parts,
    names=names,
    template="vicuna-v1.1",
)
