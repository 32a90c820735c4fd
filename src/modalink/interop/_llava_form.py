"""What LLaVA's classes of transformers can express, and what of a system they cannot."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import nn
from transformers import AutoModel, AutoModelForCausalLM

from modalink.encoders.tiles import MergingEncoder, TilesConfig
from modalink.encoders.vision import VisionConfig, VisionEncoder
from modalink.errors import PartError
from modalink.llms.joins.splice import SpliceConfig
from modalink.model import System
from modalink.projectors.inputs._tokenwise import TokenwiseConfig
from modalink.projectors.inputs.linear import LinearConfig
from modalink.projectors.inputs.mlp import MlpConfig, MlpProjector
from modalink.recipe import SystemSpec
from modalink.recipe.groups import Group

_IMAGE = "image"
_PROJECTOR = Group.input_projector(_IMAGE)
_ENCODER = Group.encoder(_IMAGE)
_KEEP = "`--to hf` keeps all of it"
_TILES = ("spatial_unpad", "resolution", "pad", "first", "tiles")
"""How LLaVA-NeXT cuts images: merge, choose, fit, thumbnail, several."""


@dataclass(frozen=True)
class LlavaForm:
    """A system as LLaVA's settings say it.

    Args:
        encoder: The image encoder, read at one hidden state or several.
        layer: Number of that state, or of several whose tokens stand side by side.
        strategy: `default` leaves out the first token of the tower, `full` keeps all.
        extra: Tokens of the tower in front of its patches.
        patch: Side of a patch in pixels.
        linears: The projector's maps, one or two.
        activation: What stands between them.
        newline: The learned token behind rows (LLaVA-NeXT).
        pinpoints: Heights and widths into which an image is cut, in pixels (LLaVA-NeXT).
    """

    encoder: VisionEncoder
    layer: int | tuple[int, ...]
    strategy: Literal["default", "full"]
    extra: int
    patch: int
    linears: tuple[nn.Linear, ...]
    activation: str
    newline: nn.Parameter | None = None
    pinpoints: tuple[tuple[int, int], ...] | None = None


def refuse_unfit(spec: SystemSpec) -> None:
    """Refuse a system whose settings say that LLaVA cannot hold it, before its weights are read.

    Raises:
        PartError: It is one; the message names every part that does not fit, and what would.
    """
    _refuse(list(_unfit(spec)))


def form_of(system: System) -> LlavaForm:
    """The form of a system whose settings fit.

    Raises:
        PartError: A part of it, as it is built, does not fit; the message says which, and what would.
    """
    inputs, model = system.spec.inputs[_IMAGE], system.model.model
    encoder, projector = model.encoder(_IMAGE), cast(Any, model.input_projector(_IMAGE))
    tower = encoder.encoder if isinstance(encoder, MergingEncoder) else encoder
    assert isinstance(tower, VisionEncoder)
    linears = _linears(projector)
    _refuse([*_unfit_tower(tower), *_unfit_projector(linears), *_unfit_llm(system)])
    before = tower.reading.before
    return LlavaForm(
        encoder=tower,
        layer=-1 if tower.layer == "output" else tower.layer,
        strategy="default" if before and not tower.keep_cls else "full",
        extra=before,
        patch=tower.side // _rows(tower),
        linears=linears,
        activation=cast(MlpConfig, system.spec.projector(_IMAGE)).activation if len(linears) > 1 else "linear",
        newline=None if projector.newlines is None else projector.newlines.token,
        pinpoints=_pinpoints(inputs.encoder, tower.side),
    )


def _refuse(reasons: list[str]) -> None:
    if reasons:
        raise PartError("LLaVA cannot hold this system:" + "".join(f"\n  {reason}" for reason in reasons))


def _unfit(spec: SystemSpec) -> Iterator[str]:
    for modality in spec.outputs:
        yield f"outputs.{modality}: found a medium that it makes, and LLaVA answers in text alone; {_KEEP}"
    for modality in spec.inputs.keys() - {_IMAGE}:
        yield f"inputs.{modality}: found a modality that LLaVA does not read, only images; {_KEEP}"
    if _IMAGE not in spec.inputs:
        yield "inputs: found no image, needed an encoder and a projector of images"
    else:
        yield from _unfit_image(spec)
    if not isinstance(spec.join, SpliceConfig) or spec.join.vectors != (0, 0) or spec.join.media_first:
        yield (
            f"llm.join: found {spec.join.kind} ({spec.join.model_dump(exclude_defaults=True)}), needed plain `splice`: "
            f"LLaVA puts prompt tokens where the image is said, and nothing else; {_KEEP}"
        )
    if spec.llm.quantised is not None:
        yield f"llm.quantize: found an LLM that is rounded to {spec.llm.quantised}, needed whole weights; {_KEEP}"
    if spec.llm.reads_both_ways:
        yield f"llm.prefix_lm: found a prompt whose tokens see each other both ways, LLaVA's only see back; {_KEEP}"
    if spec.llm.architecture().is_encoder_decoder:
        yield f"llm: found the encoder-decoder {spec.llm.checkpoint}, needed a causal LM; {_KEEP}"


def _unfit_image(spec: SystemSpec) -> Iterator[str]:
    chosen = spec.inputs[_IMAGE]
    encoder, tiled = chosen.encoder, isinstance(chosen.encoder, TilesConfig)
    each = encoder.encoder if isinstance(encoder, TilesConfig) else encoder
    if encoder is not None and encoder.lora is not None and encoder.lora.per_window:
        yield f"{_ENCODER}.lora: found adapters for each window, and LLaVA's tower is one for all; {_KEEP}"
    if not isinstance(each, VisionConfig):
        yield f"{_ENCODER}: found kind {each and each.kind}, needed `vision`, or `tiles` of `vision` as LLaVA-NeXT"
    if isinstance(encoder, TilesConfig):
        tiles = encoder.tiles
        if (encoder.merge, tiles.choose, tiles.fit, tiles.thumbnail, tiles.several) != _TILES:
            yield (
                f"{_ENCODER}: found tiles that LLaVA-NeXT does not cut, needed merge: spatial_unpad, and in tiles "
                "choose: resolution, fit: pad, thumbnail: first, several: tiles"
            )
        if isinstance(each, VisionConfig) and (each.pad_to_square or each.keep_cls):
            yield f"{_ENCODER}: found pad_to_square or keep_cls, which LLaVA-NeXT's tiles have not"
    projector = spec.projector(_IMAGE)
    if isinstance(projector, LinearConfig | MlpConfig):
        yield from _unfit_settings(projector, "row" if tiled else None)
    else:
        yield f"{_PROJECTOR}: found kind {projector.kind}, needed mlp of two layers, or linear; {_KEEP}"
    between = chosen.marks.model_dump(exclude={"begin", "end"})
    for name in (name for name, mark in between.items() if mark):
        yield f"inputs.image.marks.{name}: found a mark between prompt tokens, which LLaVA's processor does not write"


def _unfit_settings(projector: TokenwiseConfig, newline: str | None) -> Iterator[str]:
    needed = {
        "pool": None,
        "join": None,
        "positions": None,
        "shrink": None,
        "newline": newline,
        "start": False,
        "norm": False,
    }
    for name, value in needed.items():
        if (found := getattr(projector, name, value)) != value:
            shown = "none" if value is None else value
            yield f"{_PROJECTOR}: found {name}: {found}, needed {shown}: LLaVA maps each token by itself"
    if isinstance(projector, MlpConfig) and projector.layers > 2:
        yield f"{_PROJECTOR}: found {projector.layers} layers, needed 1 or 2"


def _unfit_tower(encoder: VisionEncoder) -> Iterator[str]:
    tower, reading = encoder.tower, encoder.reading
    kind = type(tower).__name__
    if not isinstance(getattr(tower.config, "hidden_size", None), int) or not isinstance(
        tower, _class_of(tower.config)
    ):
        yield f"{_ENCODER}: found a {kind}, which LLaVA's classes cannot build; needed a tower as CLIP or SigLIP"
    if reading.form != "tokens" or reading.after or reading.joined or reading.before > 1:
        yield f"{_ENCODER}: its hidden states lie as {reading}, needed tokens with at most one in front, as of CLIP"
    if encoder.interpolate:
        yield (
            f"{_ENCODER}: found image_size {encoder.side}, and positions of images of {tower.config.image_size} px; "
            "LLaVA does not interpolate them: needed a tower at its own size"
        )
    if encoder.layer == "output" and not _last_is_output(encoder):
        yield f"{_ENCODER}: found layer: output, behind the tower's final norm; LLaVA reads a hidden state: layer: -1"


def _unfit_projector(linears: tuple[nn.Linear, ...]) -> Iterator[str]:
    if len({linear.out_features for linear in linears}) > 1:
        widths = " and ".join(str(linear.out_features) for linear in linears)
        yield f"{_PROJECTOR}: found maps to widths {widths}, needed the LLM's in both; leave out width"


def _unfit_llm(system: System) -> Iterator[str]:
    llm = system.model.language_model
    kind = type(llm).__name__
    if not isinstance(llm, _class_of(llm.config, AutoModelForCausalLM)):
        yield f"llm: found a {kind}, which LLaVA's classes cannot build; {_KEEP}"
    elif not isinstance(llm.base_model, _class_of(llm.config)):
        decoder = type(llm.base_model).__name__
        yield f"llm: found a {kind} whose decoder is a {decoder}, which LLaVA's classes cannot build; {_KEEP}"
    elif llm.config.tie_word_embeddings and not hasattr(llm.base_model, "embed_tokens"):
        yield f"llm: found a {kind}, whose table and head are one where LLaVA's classes do not look for it; {_KEEP}"
    elif getattr(llm.get_output_embeddings(), "bias", None) is not None:
        yield f"llm: found a {kind}, whose head has a bias, and LLaVA's has none; {_KEEP}"
    elif not _head_is_all(system):
        yield f"llm: found a {kind}, which does more between its decoder and its logits than one linear map; {_KEEP}"


def _class_of(config: Any, auto: Any = AutoModel) -> Any:
    """What an Auto class builds of a configuration; no class of anything where it knows none."""
    found = auto._model_mapping.get(type(config), ())
    return found[0] if isinstance(found, tuple) and found else found or type("Unknown", (), {})


@torch.no_grad()
def _last_is_output(encoder: VisionEncoder) -> bool:
    parameter = next(encoder.tower.parameters())
    images = torch.randn(1, *encoder.unit_shape, generator=torch.Generator().manual_seed(0)).to(parameter)
    output = encoder.tower(images, output_hidden_states=True)
    return torch.equal(output.hidden_states[-1], output.last_hidden_state)


@torch.no_grad()
def _head_is_all(system: System) -> bool:
    llm = system.model.language_model
    ids = torch.arange(4, device=llm.device)[None]
    states = llm.base_model(input_ids=ids, use_cache=False).last_hidden_state
    return torch.equal(llm(input_ids=ids, use_cache=False).logits, llm.get_output_embeddings()(states))


def _linears(projector: Any) -> tuple[nn.Linear, ...]:
    stack = projector.layers if isinstance(projector, MlpProjector) else [projector.linear]
    return tuple(module for module in stack if isinstance(module, nn.Linear))


def _rows(tower: VisionEncoder) -> int:
    grid = tower.grid or (int((tower.tokens_per_block - tower.reading.before) ** 0.5),)
    return grid[0]


def _pinpoints(encoder: object, side: int) -> tuple[tuple[int, int], ...] | None:
    if not isinstance(encoder, TilesConfig):
        return None
    return tuple((rows * side, columns * side) for rows, columns in encoder.tiles.candidates)
