"""Where a decoder's layers are, whatever its family calls them."""

from torch import nn
from transformers import PreTrainedModel

from modalink.errors import PartError


def decoder_layers(llm: PreTrainedModel) -> nn.ModuleList:
    """The layers of a decoder-only LLM, the first one first.

    Raises:
        PartError: It is an encoder-decoder, or it has no list of as many layers as its configuration says.
    """
    if llm.config.is_encoder_decoder:
        raise PartError(f"{type(llm).__name__} is an encoder-decoder, whose layers carry no join; needed a decoder")
    depth = getattr(llm.config.get_text_config(decoder=True), "num_hidden_layers", None)
    for module in llm.get_decoder().modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return module
    raise PartError(f"{type(llm).__name__} has no list of {depth} layers in which a join could be put")


def every_nth(layers: nn.ModuleList, every: int, first: int) -> range:
    """The numbers of the layers that a join changes.

    Raises:
        PartError: There are none.
    """
    if first >= len(layers):
        raise PartError(f"found {len(layers)} layers, and a join that begins at layer {first}, counted from 0")
    return range(first, len(layers), every)
