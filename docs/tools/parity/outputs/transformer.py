"""The Transformer between two maps: the numbers of NExT-GPT's code and of M2UGen's, and torch's own class.

The numbers were made so: `TextFcLayer` of NExT-GPT/NExT-GPT@a3794b0 (code/model/layers.py, mode `transformer`, which is
GILL's `gill_mapper`), and `ProjectionLayer` of shansongliu/M2UGen@218c92d (llama/projector.py), whose norms stand
behind, from a width of 24 to 5 tokens of 6, in float64, each tensor drawn by `seeded.drawn` for its name. Names and
shapes are in `transformer.json`, and what they made of the states and embeddings below, to six places.
"""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import seeded
import torch
from torch import Tensor, nn

from modalink.projectors.outputs.transformer import TransformerConfig, TransformerProjector

TOLERANCE = 2e-5
"""The numbers are rounded."""
_NAMES = {"fc.": "entry.0.", "tfm.": "", "model.": "exit.", "query_embs": "queries"}


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Two items of four signal tokens, the embeddings added as `states: {embeddings: true}` does."""
    numbers = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    states = seeded.drawn("states", (2, 4, 24)) * 24**0.5 + seeded.drawn("embeddings", (2, 4, 24))
    for name, before in (("NExT-GPT", True), ("M2UGen", False)):
        ours = _filled(TransformerConfig(norm_first=before), numbers["tensors"])
        yield f"{name}'s code", ours(states.double()), torch.tensor(numbers[name], dtype=torch.float64)
    yield "torch's `nn.Transformer` behind an MLP, as MiniGPT-5's code has it", *_of_minigpt_5()


def _filled(config: TransformerConfig, shapes: Mapping[str, Sequence[int]]) -> TransformerProjector:
    ours = config.build(dim_in=24, dim_out=6, tokens_in=4, tokens_out=5).double().eval()
    state = {}
    for name, shape in shapes.items():
        theirs = next(prefix for prefix in _NAMES if name.startswith(prefix))
        own = _NAMES[theirs] + name.removeprefix(theirs)
        state[own] = seeded.drawn(name, shape).double().view(ours.state_dict()[own].shape)
    ours.load_state_dict(state)
    return ours


def _of_minigpt_5() -> tuple[Tensor, Tensor]:
    sizes: dict[str, Any] = {"width": 16, "heads": 2, "feed_forward": 32}
    config = TransformerConfig(**sizes, entry="mlp", exit="none")
    ours = config.build(dim_in=24, dim_out=16, tokens_in=4, tokens_out=5).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nested tensors, which norms in front have not
        theirs = nn.Transformer(16, 2, 4, 4, 32, dropout=0.0, batch_first=True, norm_first=True).eval()
    state = theirs.state_dict()
    for half in (ours.encoder, ours.decoder):
        prefix = "encoder." if half is ours.encoder else "decoder."
        half.load_state_dict({name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)})
    states = seeded.drawn("states", (2, 4, 24))
    return ours(states), theirs(src=ours.entry(states), tgt=ours.queries.expand(2, -1, -1))
