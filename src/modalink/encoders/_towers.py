"""Vision towers of transformers and timm behind one call: which class, which weights, which hidden state."""

import inspect
import re
from typing import Any, Literal

import torch
import transformers
from torch import Tensor, nn
from transformers import CLIPVisionConfig, PreTrainedConfig, PreTrainedModel
from transformers.utils.import_utils import is_timm_available

from modalink import hub
from modalink.encoders._reading import UnreadableError
from modalink.errors import MissingExtraError, PartError
from modalink.roles import EncoderConfig

Layer = int | Literal["output"]
Layers = Layer | tuple[int, ...]
"""One hidden state, or several, whose tokens stand side by side along the width."""

# Where a whole model keeps its tower, on disk.
_TOWER_PREFIX = {r"^(model\.)?(vision_model|vision_tower(\.vision_model)?|visual)\.": ""}
# Heads that no hidden state passes through.
_HEADS = (r"^pooler\.", r"^head\.", r"(^|\.)(head|fc|classifier|lm_head)(\.|$)", r"position_ids$")
# What else a whole model holds beside its tower.
_REST = (
    r"^(model\.)?(text_model|language_|multi_modal_|qformer|query_tokens|logit_|visual_projection|text_projection)",
    r"^(model\.)?image_newline$",
    r"^model\.(embed_tokens|layers|norm|perceiver_resampler|gated_cross_attn_layers)\.",
)


_OTHER_TOWERS = (r"^(model\.)?\w+_tower\.",)
NATIVE = ("siglip2_vision_model", "qwen2_vl_vision", "qwen2_5_vl_vision", "qwen3_vl_vision")
"""Types of towers that read images at their own size."""


def tower_config(config: PreTrainedConfig) -> PreTrainedConfig:
    """The configuration of the vision tower within a model's configuration."""
    tower: PreTrainedConfig = getattr(config, "vision_config", None) or config
    return _clip_of(tower) if tower.model_type == "idefics_vision" else tower


def _clip_of(idefics: PreTrainedConfig) -> CLIPVisionConfig:
    """IDEFICS' tower is CLIP's, which it keeps in a class that is none of transformers' models."""
    shared = (
        "hidden_size", "image_size", "intermediate_size", "patch_size", "num_hidden_layers", "num_attention_heads",
        "num_channels", "hidden_act", "layer_norm_eps", "attention_dropout",
    )  # fmt: skip
    return CLIPVisionConfig(**{name: getattr(idefics, name) for name in shared})


def tower_class(config: PreTrainedConfig) -> type[PreTrainedModel]:
    """The class of a tower: `CLIPVisionConfig` -> `CLIPVisionModel`, and so for every family.

    Raises:
        PartError: transformers has no such class.
        MissingExtraError: The tower is timm's and timm is not installed.
    """
    if config.model_type == "timm_wrapper" and not is_timm_available():
        raise MissingExtraError("a timm vision tower", "timm", "timm")
    if config.model_type in NATIVE:
        raise PartError(f"found a tower of type {config.model_type!r}, which reads images at their own size; "
                        "set kind: native")  # fmt: skip
    found = getattr(transformers, type(config).__name__.removesuffix("Config") + "Model", None)
    if found is None or not _reads_images(found):
        raise PartError(f"found a checkpoint of type {config.model_type!r}, needed one with a vision tower")
    kind: type[PreTrainedModel] = found
    return kind


def _reads_images(kind: type[PreTrainedModel]) -> bool:
    """Whether images are what a class reads first."""
    _, *inputs = inspect.signature(kind.forward).parameters
    return kind.main_input_name == "pixel_values" or inputs[:1] == ["pixel_values"]


def resizable(config: PreTrainedConfig) -> PreTrainedConfig:
    """The configuration of a timm tower that takes images of other sides; timm's transformers must be told."""
    if config.model_type != "timm_wrapper":
        return config
    told = type(config).from_dict(
        config.to_dict() | {"model_args": {**(config.model_args or {}), "dynamic_img_size": True}}
    )
    try:
        with torch.device("meta"):
            tower_class(told)(told)
    except TypeError:  # an architecture without that option: a convolutional one takes every side as it is
        return config
    return told


def is_fixed(tower: PreTrainedModel, config: PreTrainedConfig) -> bool:
    """Whether a tower of timm was built for images of one side, and would have to be built by this configuration."""
    return tower.config.model_type == "timm_wrapper" and tower.config.model_args != config.model_args


def random_tower(kind: type[PreTrainedModel], config: PreTrainedConfig, dtype: str) -> PreTrainedModel:
    """A tower without a checkpoint's weights, in the precision that they would have; `auto` leaves the default.

    Raises:
        PartError: Its class refuses its configuration.
    """
    with hub.building(f"a {kind.__name__} cannot be built by this configuration"):
        tower = kind(config)
    return tower if dtype == "auto" else tower.to(getattr(torch, dtype))


def own_tower(
    part: EncoderConfig, kind: type[PreTrainedModel], config: PreTrainedConfig, *, weights: bool, **loading: Any
) -> PreTrainedModel:
    """The tower of a part whose checkpoint holds it under its own names, with its weights or without.

    Args:
        part: Names the checkpoint and the precision.
        kind: The tower's class.
        config: Its configuration.
        weights: Whether it has the checkpoint's weights.
        loading: What else the checkpoint holds or lacks, see `hub.load`.

    Raises:
        PartError: Its class refuses its configuration, or the weights do not fit.
    """
    if not weights:
        return random_tower(kind, config, part.dtype)
    tower: PreTrainedModel = hub.load(
        kind, part.checkpoint, revision=part.revision, dtype=part.dtype, config=config, **loading
    )
    return tower


def load_tower(
    kind: type[PreTrainedModel],
    config: PreTrainedConfig,
    checkpoint: str,
    revision: str | None,
    dtype: str,
    rest: tuple[str, ...] = (),
    prefix: str | None = None,
) -> PreTrainedModel:
    """The tower with its weights, also out of the checkpoint of a whole model, of which `rest` is left out, too.

    Args:
        kind: The tower's class.
        config: Its configuration.
        checkpoint: Where its weights are.
        revision: Commit or tag of a hub id.
        dtype: Its precision.
        rest: Patterns of names that are not the tower's.
        prefix: How the names of its tensors begin in a whole model with several towers.
    """
    names = _TOWER_PREFIX if prefix is None else {rf"^(model\.)?{re.escape(prefix)}": ""}
    tower: PreTrainedModel = hub.load(
        kind,
        checkpoint,
        revision=revision,
        dtype=dtype,
        config=config,
        key_mapping=names,
        allow_missing=_HEADS,
        allow_unexpected=_HEADS + _REST + rest + (_OTHER_TOWERS if prefix is not None else ()),
    )
    return tower


def depth(tower: PreTrainedModel) -> int | None:
    """Number of blocks whose outputs can be read, or None if only the last feature map can."""
    if tower.config.model_type == "timm_wrapper":
        blocks: Any = getattr(tower.timm_model, "blocks", None)
        # Without prefix tokens it is a pyramid: its stages differ in grid and width.
        return len(blocks) if hasattr(tower.timm_model, "num_prefix_tokens") and blocks is not None else None
    return getattr(tower.config, "num_hidden_layers", None)


def hidden_state(tower: PreTrainedModel, values: Tensor, layer: Layers, *, interpolate: bool) -> Tensor:
    """One hidden state of the tower, as it gives it, or several along the last axis.

    Args:
        tower: A tower of transformers, or timm's in its wrapper.
        values: Images [i c h w].
        layer: Index into the hidden states (0 is the embeddings), several of them, or `output` for the last one after
            the final norm.
        interpolate: Whether the images have another side than the position table.

    Raises:
        UnreadableError: It does not give a hidden state for each block.
    """
    if tower.config.model_type == "timm_wrapper":
        return _timm_state(tower, values, layer)
    options: dict[str, Any] = {}
    if interpolate and "interpolate_pos_encoding" in inspect.signature(tower.forward).parameters:
        options["interpolate_pos_encoding"] = True
    if layer == "output":
        output: Tensor = tower(values, **options).last_hidden_state
        return output
    states = tower(values, output_hidden_states=True, **options).hidden_states or ()
    if len(states) != (depth(tower) or 0) + 1:
        raise UnreadableError(f"it gives {len(states)} hidden states, has {depth(tower)} blocks; set layer: output")
    return _joined([states[index] for index in layer] if isinstance(layer, tuple) else [states[layer]])


def _joined(states: list[Tensor]) -> Tensor:
    """States along the last axis; the very one where there is no other."""
    return torch.cat(states, dim=-1) if len(states) > 1 else states[0]


def _timm_state(tower: PreTrainedModel, values: Tensor, layer: Layers) -> Tensor:
    if layer == "output":
        features: Tensor = tower(values, do_pooling=False).last_hidden_state
        return features
    options = {"return_prefix_tokens": True} if _gives_prefix(tower) else {}
    wanted = layer if isinstance(layer, tuple) else (layer,)
    # timm counts blocks, transformers counts states: state 0 is what enters block 0. It gives them in their order.
    blocks = sorted({index - 1 for index in wanted})
    given: Any = tower(values, output_hidden_states=blocks, do_pooling=False, output_fmt="NLC", **options)
    states = [torch.cat([state[1], state[0]], dim=1) if options else state for state in given.hidden_states]
    return _joined([states[blocks.index(index - 1)] for index in wanted])


def first_state(tower: PreTrainedModel) -> int:
    """The first hidden state that can be read: timm does not give the embeddings."""
    return 1 if tower.config.model_type == "timm_wrapper" else 0


def has_class_token(tower: PreTrainedModel, prefix: int) -> bool:
    """Whether the first of the tokens in front of a tower's patches is its class token; registers are none."""
    if tower.config.model_type == "timm_wrapper":
        return prefix > 0 and getattr(tower.timm_model, "cls_token", None) is not None
    return prefix > 0


def is_blocks_output(tower: PreTrainedModel, values: Tensor, layer: Layers) -> bool:
    """Whether a hidden state, or each of several, is what the block of its number gives; True where that cannot be
    told."""
    if isinstance(layer, tuple):
        return all(is_blocks_output(tower, values, each) for each in layer)
    count = depth(tower)
    lists = [m for m in tower.modules() if isinstance(m, nn.ModuleList) and len(m) == count]
    if not isinstance(layer, int) or layer == 0 or not lists or tower.config.model_type == "timm_wrapper":
        return True
    given: list[Any] = []
    handle = lists[0][layer - 1].register_forward_hook(lambda _, __, output: given.append(output))
    try:
        state = hidden_state(tower, values, layer, interpolate=False)
    finally:
        handle.remove()
    output = given[0][0] if given and isinstance(given[0], tuple) else given[0] if given else None
    return not isinstance(output, Tensor) or output.shape != state.shape or torch.equal(output, state)


def _gives_prefix(tower: PreTrainedModel) -> bool:
    """Whether the hidden states of timm's blocks hold tokens in front of the patches, which are given on request."""
    known = inspect.signature(tower.timm_model.forward_intermediates).parameters
    return "return_prefix_tokens" in known and bool(getattr(tower.timm_model, "num_prefix_tokens", 0))


def unread(tower: nn.Module, state: Tensor) -> frozenset[str]:
    """Parameters that a hidden state does not depend on: later blocks, final norms, pooling heads."""
    names, parameters = zip(*((n, p) for n, p in tower.named_parameters() if p.requires_grad), strict=True)
    gradients = torch.autograd.grad(state.sum(), parameters, allow_unused=True)
    return frozenset(name for name, gradient in zip(names, gradients, strict=True) if gradient is None)
