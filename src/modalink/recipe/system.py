"""The five parts of a system, as a recipe describes them."""

from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, PositiveInt

from modalink.kinds import Settings
from modalink.recipe.kind_field import Kinds
from modalink.roles import EncoderConfig, GeneratorConfig, InputProjectorConfig, LlmConfig, OutputProjectorConfig

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class InputSpec(Settings):
    """How one modality comes in."""

    encoder: Annotated[EncoderConfig, Kinds("modalink.encoders")]
    """Reads the medium; frozen unless a stage trains it."""
    projector: Annotated[InputProjectorConfig, Kinds("modalink.projectors.inputs")]
    """Turns the encoder's tokens into prompt tokens."""


class OutputSpec(Settings):
    """How one modality goes out."""

    signal_tokens: PositiveInt
    """How many signal tokens ask for one medium."""
    signal_start: Literal["mean", "end"] = "mean"
    """Embeddings that signal tokens start from: the mean of the LLM's, or, with noise, that of its end token, at which
    it has gathered what it said."""
    projector: Annotated[OutputProjectorConfig, Kinds("modalink.projectors.outputs")]
    """Turns the LLM's states at the signal tokens into conditions."""
    generator: Annotated[GeneratorConfig, Kinds("modalink.generators")]
    """Makes the medium from conditions; always frozen."""
    guidance: Annotated[float, Field(ge=0)] = 3.0
    """Strength of classifier-free guidance when sampling; 1 is none."""
    steps: PositiveInt = 20
    """Denoising steps when sampling."""


class PromptSpec(Settings):
    """How a conversation becomes one text."""

    template: str
    """A prompt template by name, or `llm` for the LLM's own chat template."""
    system: str | None = None
    """System text instead of the template's own."""


class SystemSpec(Settings):
    """The five parts of a system; what `compose` builds."""

    inputs: dict[Name, InputSpec]
    """Modality -> how it comes in."""
    llm: Annotated[LlmConfig, Kinds("modalink.llms", default="pretrained")]
    """The LLM and its adapters."""
    prompt: PromptSpec
    """The prompt template of all stages and of inference."""
    outputs: dict[Name, OutputSpec] = Field(default_factory=dict)
    """Modality -> how it goes out."""

    def to_dict(self) -> dict[str, Any]:
        """Complete plain data, defaults included, that reads back as the same recipe."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """The same as YAML text."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True, width=120)
