"""What the LLaVA family shares: how a tower is read and its tokens are mapped, and where its LLM lies."""

from typing import Any, get_args

from modalink.encoders import verify
from modalink.encoders.vision import VisionConfig
from modalink.interop.family import Source
from modalink.projectors.inputs.mlp import Activation

LLM = {"model.language_model.": "model.language_model.model.", "lm_head.": "model.language_model.lm_head."}
"""Names of the LLM's weights there -> here."""
MAPS = {"model.multi_modal_projector.linear_1.": "layers.0.", "model.multi_modal_projector.linear_2.": "layers.2."}
"""Names of the projector's weights there -> within a projector here."""


def projector_names(modality: str) -> dict[str, str]:
    """Names of the projector's weights there -> those of the projector of a modality here."""
    return {there: f"model.input_projectors.{modality}.{here}" for there, here in MAPS.items()}


def tower(source: Source, *, prefix: str | None = None, strategy: str | None = None) -> dict[str, Any]:
    """The vision tower, read at the layer that the configuration says, or at several.

    Args:
        source: The checkpoint.
        prefix: How the names of its weights begin in the files, of one of several towers.
        strategy: Which of its tokens are read, instead of those that the configuration says.

    Raises:
        PartError: No layer is read, or the first patch is dropped for a class token that is not there.
    """
    setting = "vision_feature_layer"
    layer = getattr(source.config, setting)
    if not isinstance(layer, int):
        if not isinstance(layer, list | tuple) or not layer:
            raise source.refuse(setting, layer, "one layer, or a list of some")
        layer = layer[0] if len(layer) == 1 else [*layer]
    encoder = {"kind": "vision", **source.checkpoint, "layer": layer, "prefix": prefix}
    strategy = strategy or source.config.vision_feature_select_strategy
    first = (verify(VisionConfig(**encoder)).facts or {}).get("before", 0)
    if strategy not in ("default", "full"):
        raise source.refuse("vision_feature_select_strategy", strategy, "'default' or 'full'")
    if strategy == "default" and first != 1:
        what = "no class token" if not first else f"{first} tokens in front of its patches"
        raise source.refuse("vision_feature_select_strategy", strategy, f"'full', for its tower has {what}")
    if strategy == "full" and first > 1:
        raise source.refuse("vision_feature_select_strategy", strategy, f"'default', for {first} tokens are no patches")
    return encoder | {"keep_cls": strategy == "full" and first == 1}


def mlp(source: Source) -> dict[str, Any]:
    """The two linear maps.

    Raises:
        PartError: The activation between them has none here.
    """
    activation = source.config.projector_hidden_act
    if activation not in (known := get_args(Activation)):
        raise source.refuse("projector_hidden_act", activation, f"one of {', '.join(known)}")
    return {
        "kind": "mlp",
        **source.checkpoint,
        "activation": activation,
        "bias": source.config.multimodal_projector_bias,
    }


def grids(source: Source) -> list[list[int]]:
    """Rows and columns of tiles that an image is cut into.

    Raises:
        PartError: They are no multiples of a tile's side, or others than the image processor's.
    """
    side, setting = source.config.vision_config.image_size, "image_grid_pinpoints"
    pinpoints = source.config.image_grid_pinpoints
    if odd := [pair for pair in pinpoints if any(length % side for length in pair)]:
        raise source.refuse(setting, odd[0], f"multiples of {side}, the side of a tile")
    told = source.processor.get("image_processor", {}).get(setting, pinpoints)
    if [*map(list, told)] != [*map(list, pinpoints)]:
        raise source.refuse(setting, pinpoints, f"those of its image processor, {told!r:.80}")
    return [[height // side, width // side] for height, width in pinpoints]
