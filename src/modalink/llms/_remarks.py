"""What is to be said about an LLM as it is run."""

from collections.abc import Iterator

from peft.tuners.lora import LoraLayer
from transformers import PreTrainedModel

from modalink.adapters.layers import adapted
from modalink.llms._probe import EQUAL, fit_of


def remarks(llm: PreTrainedModel, *, always: bool = False) -> Iterator[str]:
    """How an LLM is run, and beside which layers its adapters stand.

    Args:
        always: Also say what goes without saying: that samples are packed.
    """
    fit = fit_of(llm)
    if always or fit.verdict != EQUAL:
        manner = "samples are packed" if fit.packs else "samples are not packed"
        reason = f" ({fit.reason})" if fit.reason else ""
        yield f"llm: {type(llm).__name__}: {fit.verdict}, {manner}{reason}"
    if taken := adapted(llm):
        lora = any(isinstance(module, LoraLayer) for module in llm.modules())
        layers = ", ".join(f"{name} ({count})" for name, count in sorted(taken.items()))
        yield f"llm.lora: adapters beside {layers}" if lora else f"llm.peft: in {layers}"
