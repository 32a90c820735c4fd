"""The role of parameter-efficient fine-tuning: how a frozen part learns by few parameters of its own."""

from abc import abstractmethod
from typing import ClassVar, Self

from pydantic import Field, model_validator
from transformers import PreTrainedModel

from modalink.kinds import KindConfig, Settings, Width


class LoraSettings(Settings):
    """Low-rank adapters beside some of a part's linear layers (arXiv 2106.09685)."""

    rank: Width
    """Width of the adapters."""
    alpha: int
    """The adapters' output is scaled by alpha / rank."""
    dropout: float = 0.0
    """Share of the adapters' input that is dropped in training."""
    dora: bool = False
    """Learn the norms of weights apart from their directions (DoRA, arXiv 2402.09353)."""


class EncoderLora(LoraSettings):
    """Low-rank adapters in an encoder, trained in the stages that name `inputs.MODALITY.encoder.lora`."""

    targets: tuple[str, ...] | None = None
    """Last names of the linear layers that get an adapter; by default all that the encoder's tokens depend on."""
    ranks: dict[str, Width] = Field(default_factory=dict)
    """Last name of a layer -> rank of its adapters, where that is another; their strength is that of the others."""
    per_window: bool = False
    """One adapter for each window of an image in the place of one for all, and none for its thumbnail (Monkey, arXiv
    2311.06607): for `kind: tiles` with one grid."""

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.per_window and self.dora:
            raise ValueError("found per_window and dora, and a layer's weight has one norm; leave out one of them")
        if self.targets is not None and (unknown := sorted(self.ranks.keys() - {*self.targets})):
            raise ValueError(f"found a rank of {unknown[0]}, which is none of the targets {', '.join(self.targets)}")
        return self

    def __hash__(self) -> int:
        return hash(self.model_dump_json())

    def tiny(self) -> Self:
        """Narrow and of the same strength, beside all layers: those of other families may not be in the zoo's."""
        rank = min(self.rank, 8)
        return self.replace(rank=rank, alpha=max(1, round(self.alpha * rank / self.rank)), targets=None, ranks={})


class DenoiserLora(LoraSettings):
    """Low-rank adapters in a generator's denoiser, trained in stages that name `outputs.MODALITY.generator.lora`."""

    targets: tuple[str, ...] | None = None
    """Last names of the linear layers that get an adapter, of those in lists with what stands before (`to_out.0`); by
    default those that attention reads and writes by: `to_q`, `to_k`, `to_v`, `to_out.0`."""

    def tiny(self) -> Self:
        """Narrow and of the same strength, beside the layers that are usual."""
        rank = min(self.rank, 8)
        return self.replace(rank=rank, alpha=max(1, round(self.alpha * rank / self.rank)), targets=None)


class PeftConfig(KindConfig):
    """Base of the settings of what is put into a frozen LLM to learn in it.

    The parameters stand under the name `modalink.adapters.ADAPTER` in the modules that they change, so that they are
    told from the LLM's own.
    """

    room: ClassVar[str] = "modalink.llms.peft"
    group: ClassVar[str] = "llm.peft"
    """The group under which stages train it."""

    @abstractmethod
    def put_into(self, llm: PreTrainedModel, checkpoint: str) -> None:
        """Give a frozen LLM parameters that learn, in place.

        Args:
            llm: The LLM.
            checkpoint: What errors call it.

        Raises:
            PartError: The LLM cannot carry them.
        """

    def as_built(self, llm: PreTrainedModel) -> Self:
        """The same settings with what was left to choose while building."""
        return self
