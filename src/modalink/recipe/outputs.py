"""How modalities go out: which states of the LLM are read, and by which parts a medium is made of them."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from modalink.kinds import Count, Name, Settings
from modalink.recipe.errors import Problem, Problems
from modalink.recipe.kind_field import Kinds
from modalink.roles import GeneratorConfig, OutputProjectorConfig

Projector = Annotated[OutputProjectorConfig, Kinds("modalink.projectors.outputs")]


class StatesSpec(Settings):
    """Which of the LLM's states a projector reads."""

    at: Literal["signals", "before", "prompt"] = "signals"
    """At the signal tokens; one place before each, where the LLM is about to say it (MiniGPT-5's code); or at all that
    stands before them: the conversation, media included."""
    layers: tuple[int, ...] = Field(default=(-1,), min_length=1)
    """Layers whose states are joined: -1 is the last, 0 the input embeddings."""
    weights: Literal["mean", "learned"] = "mean"
    """How layers are joined: by their mean, or by weights that learn with the projector (softmax, at first even)."""
    embeddings: bool = False
    """Whether the tokens' input embeddings are added (NExT-GPT's code); of signal tokens their own, also where their
    states are read before them."""
    fit: Literal["cut", "resample"] = "cut"
    """How a prompt of any length becomes `count` states: its last ones, with zeros behind a shorter one, which the mask
    leaves out where the generator reads one; or states between which it is interpolated."""
    count: Count | None = None
    """How many states of the prompt are read; as many as the longest condition has tokens, if not set."""
    neighbours: Annotated[int, Field(ge=0, le=100)] = 0
    """How many of the entries that retrieval finds stand beside these states, each by the vector that its index keeps,
    through a linear map that learns with the projector; zeros where fewer were found."""

    @model_validator(mode="after")
    def _what_a_prompt_needs(self) -> "StatesSpec":
        if self.at != "prompt" and (self.fit != "cut" or self.count is not None):
            raise ValueError("fit and count are about the prompt's states: set at: prompt, or leave them out")
        if len({*self.layers}) != len(self.layers):
            raise ValueError(f"found layers {[*self.layers]}, needed each of them once")
        return self


class OutputSpec(Settings):
    """How one modality goes out: by signal tokens and a projector, or without them by the words of the reply."""

    signal_tokens: Annotated[int, Field(ge=0, le=1000)] = 0
    """How many signal tokens ask for one medium; none where the words of each reply are what its medium is made of."""
    signal_start: Literal["mean", "end"] = "mean"
    """Embeddings that signal tokens start from: the mean of the LLM's, or, with noise, that of its end token, at which
    it has gathered what it said."""
    states: StatesSpec = StatesSpec()
    """Which of the LLM's states the projector reads."""
    nothing: Literal["generator", "zeros"] = "generator"
    """What guidance steers away from, and by what an item learns whose conditions are dropped: the generator's own
    conditions of nothing, or what the projector makes of states that are zero (MiniGPT-5), which needs no prompt."""
    read_back: bool = False
    """Whether what was made is read at once by the encoder of its modality, so that what is said behind it in the same
    reply sees it. Taught by media that are made and read (`use: both` in data)."""
    projector: Projector | None = None
    """Turns these states into conditions: into each of them, where the generator reads several; left out with the
    signal tokens, the generator reads the words of the reply by itself: it speaks them, or draws them."""
    projectors: dict[Name, Projector] | None = None
    """In the place of `projector`: a projector by the name of each condition."""
    use: Name | None = None
    """In the place of `projector`: the modality whose projector makes this one's conditions, too; its signal tokens are
    read as that one's."""
    generator: Annotated[GeneratorConfig, Kinds("modalink.generators")]
    """Makes the medium from conditions; frozen but for what its settings let stages train."""

    @model_validator(mode="before")
    @classmethod
    def _keys_that_moved(cls, data: Any) -> Any:
        moved = [key for key in ("guidance", "steps") if isinstance(data, dict) and key in data]
        if moved:
            text = "{0} belongs to the generator now: generator: {{{0}: {1}}}"
            raise Problems([Problem((key,), text.format(key, data[key])) for key in moved])
        return data

    @model_validator(mode="after")
    def _signals_have_a_projector(self) -> "OutputSpec":
        given = [key for key in ("projector", "projectors", "use") if getattr(self, key)]
        if len(given) > 1:
            raise Problems([Problem((given[1],), f"found {' and '.join(given)}, needed one of them")])
        if (not given) != (self.signal_tokens == 0):
            lacking, found = ("projector", f"{self.signal_tokens} signal tokens")
            if given:
                lacking, found = "signal_tokens", f"a {given[0]}" if self.use is None else "use"
            text = f"is missing beside {found}; give both, or neither where the generator reads the words of the reply"
            raise Problems([Problem((lacking,), text)])
        return self

    @property
    def links(self) -> dict[str, OutputProjectorConfig]:
        """The projectors that it has: by condition, or the one under the empty name; none where it uses another's."""
        return self.projectors or ({} if self.projector is None else {"": self.projector})

    @property
    def link_kinds(self) -> str:
        """What kinds they are, in words."""
        return ", ".join(f"{name}: {config.kind}" if name else config.kind for name, config in self.links.items())

    def link(self, condition: str) -> OutputProjectorConfig:
        """The projector that makes a condition, of a modality that has projectors."""
        return self.links[condition] if self.projectors else self.links[""]

    def sections(self) -> tuple[str, ...]:
        """What of its projectors a stage can train by itself."""
        found = ["layer_weights"] * (self.states.weights == "learned")
        for name, config in self.links.items():
            found += [name] * bool(name) + [f"{name}.{part}" if name else part for part in config.sections()]
        return tuple(found)
