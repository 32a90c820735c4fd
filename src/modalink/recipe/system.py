"""The five parts of a system, as a recipe describes them."""

from typing import Annotated, Any, cast

import yaml
from pydantic import Field, field_validator, model_validator

from modalink.kinds import Name, Settings, parse
from modalink.recipe.errors import Problem, Problems
from modalink.recipe.kind_field import Kinds
from modalink.recipe.outputs import OutputSpec, StatesSpec
from modalink.recipe.retrieval import RetrievalSpec
from modalink.roles import (
    EncoderConfig,
    InputProjectorConfig,
    JoinConfig,
    LlmConfig,
)


class MarksSpec(Settings):
    """What is written around and between the prompt tokens of a medium: special tokens of the LLM, or plain text."""

    begin: str = ""
    """Before the first token."""
    end: str = ""
    """Behind the last token."""
    between_rows: str = ""
    """Between the rows of a block whose tokens lie on a grid."""
    between_blocks: str = ""
    """Between blocks: tiles, frames, windows of sound."""
    between_tile_rows: str = ""
    """Between the rows of tiles, in the place of `between_blocks`."""
    before_block: str = ""
    """Before each block; `{number}` counts from 1, `{time:.1f}` is when it begins, in seconds."""

    @field_validator("before_block")
    @classmethod
    def _can_be_filled(cls, text: str) -> str:
        try:
            text.format(number=1, time=0.0)
        except (LookupError, ValueError) as error:
            raise ValueError(f"found {text!r}, needed text with {{number}} and {{time:.1f}} at most") from error
        return text


class InputSpec(Settings):
    """How one modality comes in."""

    encoder: Annotated[EncoderConfig, Kinds("modalink.encoders")] | None = None
    """Reads the medium; frozen unless a stage trains it."""
    use: Name | None = None
    """The modality whose encoder reads this one too, in the place of an encoder of its own."""
    projector: Annotated[InputProjectorConfig, Kinds("modalink.projectors.inputs")] | None = None
    """Turns the encoder's tokens into prompt tokens; left out beside `use`, it is that modality's projector, too."""
    marks: MarksSpec = MarksSpec()
    """What is written around and between the prompt tokens."""


class PromptSpec(Settings):
    """How a conversation becomes one text."""

    template: str
    """A prompt template by name, or `llm` for the LLM's own chat template."""
    system: str | None = None
    """System text instead of the template's own."""
    add_tokens: bool = False
    """Give the LLM a new token for each special token that the template writes and it has no embedding of, as ChatML's
    for an LLM that never saw it; of its own template also what is spelled `<|...|>` and is none of its tokens; and for
    each tag of the coordinate codec, as `<box>`. Their rows learn in stages that train `llm.new_tokens`."""
    coordinates: str | None = None
    """The coordinate codec that writes places in pictures and reads those of replies: `shikra`, `qwen-vl`,
    `minigpt-v2`, `cogvlm`, `llava-1.5`, or plainly `unit`, `thousand`, `pixel`."""


class SystemSpec(Settings):
    """The five parts of a system; what `compose` builds."""

    inputs: dict[Name, InputSpec]
    """Modality -> how it comes in; null takes out one of a recipe beneath."""
    llm: Annotated[LlmConfig, Kinds("modalink.llms", default="pretrained")]
    """The LLM and its adapters."""
    prompt: PromptSpec
    """The prompt template of all stages and of inference."""
    outputs: dict[Name, OutputSpec] = Field(default_factory=dict)
    """Modality -> how it goes out; null takes out one of a recipe beneath."""
    retrieval: RetrievalSpec | None = None
    """What is looked up before a question is read; nothing if not set."""

    @field_validator("inputs", "outputs", mode="before")
    @classmethod
    def _without_what_was_taken_out(cls, value: Any) -> Any:
        """Null stands for a modality that a recipe beneath has and this one has not."""
        return {name: spec for name, spec in value.items() if spec is not None} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _every_input_has_an_encoder(self) -> "SystemSpec":
        own = [m for m, chosen in self.inputs.items() if chosen.encoder is not None]
        found = []
        for modality, chosen in self.inputs.items():
            if (chosen.encoder is None) == (chosen.use is None):
                found.append(Problem(("inputs", modality), "needs an encoder, or use: a modality that has one"))
            elif chosen.projector is None and chosen.use is None:
                found.append(Problem(("inputs", modality), "the key 'projector' is missing"))
            elif chosen.use is not None and chosen.use not in own:
                has = f"those that have one: {', '.join(own) or 'none'}"
                found.append(Problem(("inputs", modality, "use"), f"found {chosen.use!r}, which has no encoder; {has}"))
            elif chosen.use is not None and chosen.projector is None and self.inputs[chosen.use].projector is None:
                found.append(Problem(("inputs", modality), f"found no projector, and {chosen.use!r} has none to share"))
        if found:
            raise Problems(found)
        return self

    @model_validator(mode="after")
    def _every_output_has_a_projector(self) -> "SystemSpec":
        own = [m for m, made in self.outputs.items() if made.links]
        found = []
        for modality, made in self.outputs.items():
            if made.use is None:
                continue
            if made.use not in own:
                has = f"those that have one: {', '.join(own) or 'none'}"
                text = f"found {made.use!r}, which has no projector of its own; {has}"
                found.append(Problem(("outputs", modality, "use"), text))
            elif (other := self.outputs[made.use]).signal_tokens != made.signal_tokens:
                text = (
                    f"found {made.signal_tokens}, needed {other.signal_tokens} as {made.use}, whose projector it uses"
                )
                found.append(Problem(("outputs", modality, "signal_tokens"), text))
            elif made.states not in (StatesSpec(), other.states):
                text = f"the states are those of {made.use}, whose projector it uses; leave them out"
                found.append(Problem(("outputs", modality, "states"), text))
        if found:
            raise Problems(found)
        return self

    @model_validator(mode="after")
    def _what_is_read_back_is_an_input(self) -> "SystemSpec":
        found = []
        for modality, made in self.outputs.items():
            place = ("outputs", modality, "read_back")
            if made.read_back and modality not in self.inputs:
                found.append(Problem(place, f"found no input {modality!r}, needed one that reads what is made"))
            elif made.read_back and not made.signal_tokens:
                found.append(Problem(place, "found no signal tokens, behind which it could be read"))
        if found:
            raise Problems(found)
        return self

    @model_validator(mode="after")
    def _neighbours_are_found(self) -> "SystemSpec":
        found, retrieval = [], self.retrieval
        for modality, made in self.outputs.items():
            place, wanted = ("outputs", modality, "states", "neighbours"), made.states.neighbours
            if wanted and (retrieval is None or wanted > retrieval.neighbours):
                has = "no retrieval" if retrieval is None else f"retrieval of {retrieval.neighbours} neighbours"
                found.append(Problem(place, f"found {wanted} and {has}, needed retrieval of as many at least"))
            elif wanted and made.states.at == "prompt":
                found.append(Problem(place, f"found {wanted} beside the prompt's states, needed signal tokens' (at)"))
        if found:
            raise Problems(found)
        return self

    @property
    def join(self) -> JoinConfig:
        """How media meet the LLM: as its settings say, and spliced in where they say nothing."""
        found = getattr(self.llm, "join", None)
        spliced = parse(JoinConfig.room, {"kind": "splice"})
        return found if isinstance(found, JoinConfig) else cast(JoinConfig, spliced)

    @property
    def encoder_owners(self) -> dict[str, str]:
        """Input modality -> the one whose encoder reads it; most often itself."""
        return {modality: chosen.use or modality for modality, chosen in self.inputs.items()}

    def encoders(self) -> dict[str, EncoderConfig]:
        """The encoders that there are, by the modality that has them."""
        return {m: chosen.encoder for m, chosen in self.inputs.items() if chosen.encoder is not None}

    def encoder(self, modality: str) -> EncoderConfig:
        """The encoder that reads a modality, as it reads that one."""
        return self.encoders()[self.encoder_owners[modality]].for_modality(modality)

    @property
    def projector_owners(self) -> dict[str, str]:
        """Input modality -> the one whose projector it goes through; most often itself."""
        return {m: m if chosen.projector is not None else chosen.use or m for m, chosen in self.inputs.items()}

    def projectors(self) -> dict[str, InputProjectorConfig]:
        """The input projectors that there are, by the modality that has them."""
        return {m: chosen.projector for m, chosen in self.inputs.items() if chosen.projector is not None}

    def projector(self, modality: str) -> InputProjectorConfig:
        """The input projector that a modality goes through."""
        return self.projectors()[self.projector_owners[modality]]

    @property
    def signalled(self) -> dict[str, OutputSpec]:
        """The outputs that the LLM asks for by signal tokens, each with its projector, or the use of another's."""
        return {modality: made for modality, made in self.outputs.items() if made.signal_tokens}

    @property
    def learning_generators(self) -> dict[str, OutputSpec]:
        """Those of them of whose generator something can be trained."""
        return {modality: made for modality, made in self.signalled.items() if made.generator.learns}

    @property
    def worded(self) -> dict[str, OutputSpec]:
        """The outputs whose generator reads the words of each reply by itself."""
        return {modality: made for modality, made in self.outputs.items() if not made.signal_tokens}

    @property
    def linked(self) -> dict[str, OutputSpec]:
        """The outputs that have output projectors of their own."""
        return {modality: made for modality, made in self.outputs.items() if made.links}

    @property
    def link_owners(self) -> dict[str, str]:
        """Output modality -> the one whose projector makes its conditions; most often itself."""
        return {modality: made.use or modality for modality, made in self.signalled.items()}

    def to_dict(self) -> dict[str, Any]:
        """Complete plain data, defaults included, that reads back as the same recipe."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """The same as YAML text."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True, width=120)
