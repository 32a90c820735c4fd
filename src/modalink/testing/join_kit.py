"""The kit for joins: a new one needs a test of one line."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from modalink.errors import PartError
from modalink.llms import carried, fit_of
from modalink.ragged import Layout, Ragged
from modalink.roles import Join, JoinConfig, Placed, Rows
from modalink.testing.requirements import check_settings, require

_MODALITIES = ("image", "audio")
_LENGTHS = (3, 1, 4)
"""Prompt tokens of the items that are placed."""
_TEXT = 2
"""Tokens of text before each item, and behind the last."""
_DRAWN = 0.3


def check_join(config: JoinConfig, llm: PreTrainedModel | None = None) -> None:
    """Prove that a join publishes its places, learns, and leaves the LLM as it was when it is taken out.

    Beside what is checked here, a tiny LLM of the same class must say with the join the same to a sample alone, in a
    batch, packed and behind its cache.

    Args:
        config: Its settings, of a join for an LLM of two layers.
        llm: An LLM that it must work with; a tiny Llama by default.

    Raises:
        AssertionError: It breaks the promise that the message names.
    """
    check_settings(config)
    require(isinstance(config.trial(), JoinConfig), "trial() must give settings of a join")
    llm = _llama() if llm is None else llm.eval()
    before = {name: tensor.clone() for name, tensor in llm.state_dict().items()}
    join = _built(config, llm)
    own = [*join.parameters()]
    require(bool(own) == config.learns, f"learns is {config.learns}, and the join has {len(own)} parameters")
    with torch.no_grad():
        bare = _said(llm, *_texts(llm, sum(_LENGTHS) + 4 * _TEXT))
    for parameter in own:  # so that what is closed or zero at first matters
        parameter.data += _DRAWN * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    prompt = _prompt(config, llm)
    _check_places(config, join, prompt)
    _check_embedding(join, llm, prompt)
    _check_gradients(join, llm, prompt)
    _check_leaving(join, llm, bare, before)
    reason = carried(type(llm), llm.config, fit_of(llm), config)
    require(not reason, f"a tiny LLM must say with the join what it says to a sample alone: {reason}")


def _llama() -> PreTrainedModel:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LlamaForCausalLM(LlamaConfig(vocab_size=96, initializer_range=0.2, **sizes)).eval()


def _built(config: JoinConfig, llm: PreTrainedModel) -> Join:
    """A new join, which must be drawn from torch's global random state alone, and change nothing of the LLM."""
    names, hooks = [*llm.state_dict()], _hooks(llm)
    joins = []
    with torch.random.fork_rng(devices=[]):
        for _ in range(2):
            torch.manual_seed(0)
            joins.append(config.build(llm, _MODALITIES))
    join = joins[0]
    require(isinstance(join, Join), f"build() must give a Join, found {type(join).__name__}")
    states = [one.state_dict() for one in joins]
    same = all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
    require(same, "new weights must be drawn from torch's global random state, and from nothing else")
    untouched = [*llm.state_dict()] == names and _hooks(llm) == hooks
    require(untouched, "build() must leave the LLM alone: put_into() joins them")
    return join.eval()


def _prompt(config: JoinConfig, llm: PreTrainedModel) -> Ragged:
    """Prompt tokens of some items, as wide as the join wants them."""
    width = config.prompt_width(llm.get_input_embeddings().embedding_dim)
    values = torch.randn(sum(_LENGTHS), width, generator=torch.Generator().manual_seed(2))
    return Ragged(values, _LENGTHS, tuple(Layout(1, (length,)) for length in _LENGTHS))


def _check_places(config: JoinConfig, join: Join, prompt: Ragged) -> None:
    """The places that are published are those that are filled."""
    published = [config.places(layout).tokens + sum(config.vectors) for layout in prompt.layouts]
    found = [*join.lengths(prompt)]
    require(found == published, f"lengths() gives items of {found} places, places() and vectors publish {published}")


def _placed(join: Join, prompt: Ragged) -> Placed:
    """Items between texts of two tokens, in one row."""
    lengths = join.lengths(prompt)
    starts = [_TEXT * (i + 1) + sum(lengths[:i]) for i in range(len(lengths))]
    index = [place for start, length in zip(starts, lengths, strict=True) for place in range(start, start + length)]
    return Placed(_MODALITIES[0], prompt, torch.tensor(index), tuple(lengths), tuple(starts))


def _texts(llm: PreTrainedModel, count: int) -> tuple[Float[Tensor, "1 t d"], Tensor]:
    """Embedded tokens, and their places."""
    ids = torch.randint(4, 90, (1, count), generator=torch.Generator().manual_seed(3))
    return llm.get_input_embeddings()(ids), torch.arange(count)[None]


def _check_embedding(join: Join, llm: PreTrainedModel, prompt: Ragged) -> None:
    """Text stays as it is; every place of an item is filled; what was given is not written into."""
    placed = _placed(join, prompt)
    with torch.no_grad():
        embeds, _ = _texts(llm, max(placed.index).item() + 1 + _TEXT)
        given = embeds.clone()
        found = join.embed(embeds, [placed])
    require(found.shape == given.shape, f"embed() must keep the shape {tuple(given.shape)}, found {tuple(found.shape)}")
    require(torch.equal(embeds, given), "embed() must not write into what it is given")
    text = torch.ones(given.shape[1], dtype=torch.bool)
    text[placed.index] = False
    require(torch.equal(found[0, text], given[0, text]), "embed() must leave text as it is")
    filled = (found[0, ~text] != given[0, ~text]).any(dim=1)
    require(bool(filled.all()), f"embed() must fill every place of an item, and left {int((~filled).sum())}")


def _check_gradients(join: Join, llm: PreTrainedModel, prompt: Ragged) -> None:
    """Gradients reach all that is learned, and all prompt tokens."""
    placed = _placed(join, prompt)
    embeds, positions = _texts(llm, max(placed.index).item() + 1 + _TEXT)
    values = prompt.values.clone().requires_grad_()
    items = [replace(placed, prompt=replace(prompt, values=values))]
    join.put_into(llm)
    join.requires_grad_(True)
    embedded = join.embed(embeds.detach(), items)
    met = join.meet(Rows.of(embedded), items, None)
    with join.told(met):
        logits = _said(llm, embedded, positions if met is None else met.positions(positions))
    own = dict(join.named_parameters())
    reach, *gradients = torch.autograd.grad(logits.square().sum(), [values, *own.values()], allow_unused=True)
    join.take_out()
    heard = reach is not None and bool((reach.abs().amax(dim=1) > 0).all())
    require(heard, "every prompt token must reach what is said")
    silent = [name for name, found in zip(own, gradients, strict=True) if found is None or not found.any()]
    require(not silent, f"gradients must reach every parameter: none reaches {silent[:5]}")


def _check_leaving(join: Join, llm: PreTrainedModel, bare: Tensor, before: dict[str, Tensor]) -> None:
    """Put in and taken out again, it leaves no weight, name, hook or number changed."""
    hooks = _hooks(llm)
    join.put_into(llm)
    try:
        join.put_into(llm)
        raise AssertionError("put_into() must refuse with a PartError while the join is in an LLM")
    except PartError:
        pass
    same_names = [*llm.state_dict()] == [*before]
    require(same_names, "put_into() must add no weight and no name to the LLM: the join owns them")
    join.take_out()
    after = llm.state_dict()
    same = all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    require(same, "take_out() must leave the LLM's weights as they were, to the bit")
    require(_hooks(llm) == hooks, "take_out() must remove every hook")
    with torch.no_grad():
        said = _said(llm, *_texts(llm, bare.shape[1]))
    require(torch.equal(said, bare), "taken out, the LLM must say what it said before, to the bit")


def _said(llm: PreTrainedModel, embeds: Float[Tensor, "1 t d"], positions: Tensor | None) -> Float[Tensor, "1 t v"]:
    found: Tensor = llm(inputs_embeds=embeds, position_ids=positions, use_cache=False).logits
    return found


def _hooks(llm: PreTrainedModel) -> int:
    """How many hooks there are on an LLM's modules."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind)) for module in llm.modules() for kind in kinds)
