"""What every join must do."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from modalink.llms import why_not
from modalink.roles import JoinConfig
from modalink.testing.requirements import check_settings, require


def check_join(config: JoinConfig) -> None:
    """Prove that a join plays its role in a small Llama; an AssertionError names the obligation that it breaks.

    Args:
        config: Its settings.
    """
    check_settings(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sizes = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2}
        llm = LlamaForCausalLM(LlamaConfig(**sizes, num_hidden_layers=2, vocab_size=64)).eval().requires_grad_(False)
        join = config.tiny().build(llm, ("image",))
    learned = {name for name, parameter in join.named_parameters() if parameter.requires_grad}
    require(bool(learned) == config.learns, f"found {len(learned)} tensors that learn, and learns={config.learns}")
    reason = why_not(llm, config)
    require(not reason, f"an LLM with the join must say the same alone, in a batch, packed and cached: {reason}")
    ids = torch.arange(7)[None]
    before, names = llm(input_ids=ids).logits, [*_state(llm)]
    join.put_into(llm)
    require([*_state(llm)] == names, "a join must leave the LLM's weights where they are, under their names")
    join.take_out()
    require(torch.equal(llm(input_ids=ids).logits, before), "an LLM must be as it was when a join is taken out")


def _state(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The names, the storage and the versions of a module's weights."""
    return ((f"{name} {tensor.data_ptr()} {tensor._version}", tensor) for name, tensor in module.state_dict().items())
