"""An LLM whose linear layers hold 4 or 8 bits a weight, by bitsandbytes: frozen, so that it takes less memory.

Sources: QLoRA (arXiv 2305.14314, sections 2 and 3: normal floats of 4 bits in blocks of 64, whose scales are quantised,
too) and LLM.int8() (arXiv 2208.07339).
"""

import math
from importlib.util import find_spec
from typing import Literal

import torch
from torch import nn
from transformers import BitsAndBytesConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from modalink.errors import MissingExtraError

Quantised = Literal["nf4", "int8"]
_BITS = {"nf4": 4 + 8 / 64 + 32 / (64 * 256), "int8": 8.0}
"""Bits a weight, of which scales are a part: one of 8 bits for 64 weights, one of 32 bits for 256 of these."""


def settings(kind: Quantised) -> BitsAndBytesConfig:
    """What transformers is told.

    Raises:
        MissingExtraError: bitsandbytes is not installed.
    """
    if find_spec("bitsandbytes") is None:
        raise MissingExtraError(f"llm.quantize: {kind}", "bitsandbytes", "quantize")
    if kind == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)


def settle_rounded(llm: PreTrainedModel) -> None:
    """Let rounded weights lie as they are, and the configuration be that of the whole LLM, to which it is a reference.

    On some CPUs bitsandbytes lays 4 bits out anew when it first reads them without a gradient, in a form that no
    gradient goes through from then on: training that goes on after an evaluation would learn nothing.
    """
    for config in (llm.config, llm.config.get_text_config(decoder=True)):
        vars(config).pop("quantization_config", None)
    for module in llm.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def is_quantised(parameter: nn.Parameter | torch.Tensor) -> bool:
    """Whether a parameter holds rounded weights, which cannot learn: several of them may lie in one number."""
    return not parameter.is_floating_point()


def weights_in(parameter: nn.Parameter) -> int:
    """How many weights a parameter holds, however they lie."""
    state = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else math.prod(state.shape)


def bytes_of(llm: PreTrainedModel, kind: str | None, dtype: torch.dtype) -> float:
    """The memory that an LLM's weights take, in bytes.

    Args:
        llm: The LLM, or its skeleton without weights.
        kind: What its linear layers are rounded to; None for nothing.
        dtype: The type of all others.
    """
    head = llm.get_output_embeddings()
    layers = [m.weight for m in llm.modules() if isinstance(m, nn.Linear | Conv1D) and m is not head]
    rounded = {id(weight) for weight in layers if kind is not None}
    bits = _BITS[kind] if kind is not None else 0.0
    found: float = sum(
        weights_in(p) * (bits / 8 if id(p) in rounded else dtype.itemsize)
        for name, p in llm.named_parameters()
        if ".lora_" not in name
    )
    return float(found)
