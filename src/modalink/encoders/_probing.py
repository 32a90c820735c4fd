"""Whether an encoder does what modalink relies on, tried on its miniature: its own architecture, random weights.

twice the same            the same units give the same bits
alone equals in a batch   an item's tokens depend on that item alone
finite                    no token holds a NaN
as laid out               as many tokens, as wide, as published before anything is encoded
in place                  each token of a grid depends most on its own part of the picture, row by row
"""

from collections.abc import Iterator
from itertools import combinations
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from modalink.encoders._drawing import draw
from modalink.encoders._places import influence, misplaced
from modalink.encoders._reading import UnreadableError
from modalink.errors import PartError
from modalink.hub import first_line
from modalink.ragged import Layout, Ragged
from modalink.roles import BlockEncoder, Encoder, EncoderConfig
from modalink.verdicts import Verdict, remembered

_LIBRARIES = ("modalink", "torch", "transformers", "timm")
_OWN = "modalink.encoders."
_SHARED = sorted(path.stem for path in Path(__file__).parent.glob("_[a-z]*.py"))
_CODE = tuple(_OWN + name for name in (*_SHARED, "vision", "several"))
_TOLERANCE = 1e-4
"""Of the largest number; another batch size may take other kernels."""
_CELLS = 6
_ITEMS = 3


def verdict_on(config: EncoderConfig, *, remember: bool = True) -> Verdict:
    """What a probe finds out about an encoder: `right`, `refused`, or `unproved` where it cannot be tried.

    Remembered in this process and on this machine, by class, settings, architecture and versions.

    Args:
        config: The encoder's settings; no weights are needed.
        remember: Whether what was found out before will do.
    """
    if not remember:
        return _verdict(config)
    kind = type(config)
    subject = {"class": f"{kind.__module__}.{kind.__qualname__}", "settings": config.describe()}
    return remembered(subject, lambda: _verdict(config), libraries=_LIBRARIES, code=(*_CODE, kind.__module__))


def verify(config: EncoderConfig) -> Verdict:
    """The verdict on an encoder that is not refused.

    Raises:
        PartError: It is refused; the reason says why.
    """
    found = verdict_on(config)
    if found.verdict == "refused":
        raise PartError(f"{config.checkpoint}: this encoder is refused: {found.reason}")
    return found


def _verdict(config: EncoderConfig) -> Verdict:
    # A part may be built on the meta device, and where gradients are off.
    with torch.inference_mode(False), torch.no_grad(), torch.device("cpu"), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            encoder = config.miniature()
        except UnreadableError as error:
            return Verdict("refused", str(error))
        if encoder is None:
            return Verdict("unproved", "it is too large to be tried; its settings need a `miniature`")
        return probe(encoder.eval(), config.typical())


def probe(encoder: Encoder, layout: Layout) -> Verdict:
    """What is found out about an encoder by running it on random units.

    Args:
        encoder: The encoder, small; its weights are drawn anew where they do not show where its tokens look.
        layout: How the units of an ordinary item lie.
    """
    generator = torch.Generator().manual_seed(0)
    units = [torch.randn(layout.units, *encoder.unit_shape, generator=generator) for _ in range(_ITEMS)]
    items = Ragged.of(units, [layout] * _ITEMS)
    try:
        with torch.no_grad():
            reason = next((found for found in _faults(encoder, items) if found), "")
    except PartError as error:
        reason = str(error)
    except Exception as error:  # whatever its libraries raise on numbers that they do not expect
        return Verdict("unproved", f"it cannot be tried on random numbers: {first_line(error)}", encoder.facts)
    return Verdict("refused" if reason else "right", reason, encoder.facts)


def _faults(encoder: Encoder, items: Ragged) -> Iterator[str]:
    """What is wrong, the cheaper checks first."""
    together, again = encoder(items), encoder(items)
    published = tuple(encoder.layout(layout) for layout in items.layouts)
    if not together.values.isfinite().all():
        yield "it gives numbers that are not finite"
    if not torch.equal(together.values, again.values):
        yield "it gives other numbers each time"
    if together.layouts != published:
        yield f"it gives {together.lengths} tokens, published {tuple(layout.tokens for layout in published)}"
    if together.values.shape[1:] != (encoder.dim,):
        yield f"it gives tokens of the shape {tuple(together.values.shape[1:])}, published ({encoder.dim},)"
    alone = torch.cat([encoder(items.take([number])).values for number in range(len(items))])
    scale = together.values.abs().max().clamp_min(1e-6)
    if alone.shape != together.values.shape or (alone - together.values).abs().max() > _TOLERANCE * scale:
        yield "an item gives other tokens in a batch than alone"
    if published[0].grid is not None:
        yield _misplaced(encoder, items, published[0].grid)


def _misplaced(encoder: Encoder, items: Ragged, grid: tuple[int, int]) -> str:
    """Whether tokens lie on another grid than they say, along every pair of axes that can hold a picture."""
    own = items.layouts[0].grid
    if own is not None:  # a unit is a patch
        unit, pairs = items.values[: prod(own)].unflatten(0, own), [(0, 1)]
    elif isinstance(encoder, BlockEncoder):
        unit = items.values[0]
        pairs = [pair for pair in combinations(range(-unit.ndim, 0), 2) if min(unit.shape[a] for a in pair) >= _CELLS]
    else:
        return ""

    def encode(units: Tensor) -> Tensor:
        if isinstance(encoder, BlockEncoder):
            return encoder.encode(units)
        count = units.shape[1] * units.shape[2]
        image = Layout(count, (count,), grid=own)
        return encoder(Ragged(units.flatten(0, 2), (count,) * len(units), (image,) * len(units))).stack()

    reason = ""
    for gain in (None, 1.0, 0.3):
        if gain is not None:
            draw(encoder, encode, tuple(unit.shape), gain)
        for axes in reversed(pairs):
            found = misplaced(influence(encode, unit, axes, _CELLS).sum(-1), grid)
            if not found:
                return ""
            reason = reason or found
    return reason
