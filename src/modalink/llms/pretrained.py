"""Any Hugging Face causal LM or encoder-decoder, joined by `splice`, with optional LoRA."""

from typing import Literal

from peft import LoraConfig
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, PreTrainedConfig, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from modalink import hub
from modalink.errors import PartError
from modalink.kinds import Settings, Width
from modalink.llms._attention import ATTENTION, packs
from modalink.roles import LlmConfig

ADAPTER = "modalink"

_LLAMA_LINEARS = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


class LoraSpec(Settings):
    """Low-rank adapters beside some of the LLM's linear layers (arXiv 2106.09685)."""

    rank: Width
    """Width of the adapters."""
    alpha: int
    """The adapters' output is scaled by alpha / rank."""
    dropout: float = 0.0
    """Share of the adapters' input that is dropped in training."""
    targets: tuple[str, ...] = ("q_proj", "v_proj")
    """Last names of the linear layers that get an adapter."""

    def tiny(self) -> "LoraSpec":
        """Of a rank that fits the zoo's LLM, a Llama, and of the same strength."""
        rank = min(self.rank, 8)
        targets = tuple(t for t in self.targets if t in _LLAMA_LINEARS) or ("q_proj", "v_proj")
        return self.replace(rank=rank, alpha=self.alpha * rank / self.rank, targets=targets)


class PretrainedLlmConfig(LlmConfig):
    """An LLM from a checkpoint."""

    kind: Literal["pretrained"] = "pretrained"
    join: Literal["splice"] = "splice"
    """How prompt tokens meet the LLM: `splice` puts them where placeholders stand in its embedded input."""
    lora: LoraSpec | None = None
    """Adapters, trained in the stages that name `llm.lora`."""

    def tiny(self) -> "PretrainedLlmConfig":
        """The zoo's LLM, with adapters of its size."""
        return self.from_zoo("llm", lora=None if self.lora is None else self.lora.tiny())

    def architecture(self) -> PreTrainedConfig:
        """The checkpoint's `PreTrainedConfig`."""
        return hub.architecture(self.checkpoint, self.revision)

    def tokenizer(self) -> Tokenizer:
        """The checkpoint's tokenizer.

        Raises:
            PartError: It reports no character offsets, without which labels cannot be placed.
        """
        tokenizer = hub.read(AutoTokenizer, hub.locate(self.checkpoint, self.revision))
        if not tokenizer.is_fast:
            raise PartError(
                f"llm {self.checkpoint}: its tokenizer {type(tokenizer).__name__} reports no character offsets; "
                "save a tokenizer.json beside it (tokenizers library) or choose another checkpoint"
            )
        return tokenizer

    def build(self, *, weights: bool = True) -> PreTrainedModel:
        """The LLM, frozen except for its adapters, with modalink's attention where it can be packed.

        Raises:
            PartError: The checkpoint cannot be loaded strictly, or a LoRA target is no layer of it.
        """
        architecture = self.architecture()
        auto = AutoModelForSeq2SeqLM if architecture.is_encoder_decoder else AutoModelForCausalLM
        if weights:
            llm = hub.load(auto, self.checkpoint, revision=self.revision, dtype=self.dtype)
        else:
            with hub.foreign(PartError, f"llm {self.checkpoint}: its architecture cannot be built"):
                llm = auto.from_config(architecture, trust_remote_code=False)
        llm.requires_grad_(False)
        if packs(llm):
            llm.set_attn_implementation(ATTENTION)
        if self.lora is not None:
            _add_lora(llm, self.lora, self.checkpoint)
        return llm.eval()


def _add_lora(llm: PreTrainedModel, spec: LoraSpec, checkpoint: str) -> None:
    linears = {name.rpartition(".")[2] for name, module in llm.named_modules() if isinstance(module, nn.Linear)}
    if unknown := set(spec.targets) - linears:
        raise PartError(
            f"llm {checkpoint}: no linear layer is called {', '.join(sorted(unknown))} (llm.lora.targets); "
            f"its layers are {', '.join(sorted(linears))}"
        )
    llm.add_adapter(
        LoraConfig(
            r=spec.rank,
            lora_alpha=spec.alpha,
            lora_dropout=spec.dropout,
            target_modules=list(spec.targets),
            bias="none",
        ),
        adapter_name=ADAPTER,
    )
