"""The names of the groups of parameters that a stage's `train` chooses from."""

import re
from collections.abc import Collection

_PART = re.compile(
    r"(?:inputs|outputs)\.(?P<modality>.+?)\."
    r"(?P<part>encoder\.lora|encoder|projector|generator\.lora|generator\.denoiser|generator)(?:\.(?P<section>.+))?"
)


class Group(str):
    """One name, read by its parts: `llm`, `llm.lora`, `llm.peft`, `llm.join`, `llm.new_tokens`, `inputs.image.encoder`.

    Adapters, as `llm.lora` and `inputs.image.encoder.lora`, are parts of their own, and so is a generator's denoiser.
    A part may have sections that learn by themselves: `inputs.image.projector.exit` is the last map of a projector.

    It is a string, so that it is what files and people write; nobody else takes the string apart.
    """

    __slots__ = ()

    @classmethod
    def encoder(cls, modality: str) -> "Group":
        """The encoder that a modality has."""
        return cls(f"inputs.{modality}.encoder")

    @classmethod
    def encoder_lora(cls, modality: str) -> "Group":
        """The adapters in the encoder that a modality has."""
        return cls(f"inputs.{modality}.encoder.lora")

    @classmethod
    def of_encoder(cls, modality: str) -> "frozenset[Group]":
        """The parts on which the tokens of an encoder depend."""
        return frozenset({cls.encoder(modality), cls.encoder_lora(modality)})

    @classmethod
    def input_projector(cls, modality: str) -> "Group":
        """The projector through which a modality comes in."""
        return cls(f"inputs.{modality}.projector")

    @classmethod
    def output_projector(cls, modality: str) -> "Group":
        """The projector through which a modality goes out."""
        return cls(f"outputs.{modality}.projector")

    @classmethod
    def generator(cls, modality: str) -> "Group":
        """The generator that makes a modality; of it only the denoiser can be trained."""
        return cls(f"outputs.{modality}.generator")

    @classmethod
    def denoiser(cls, modality: str) -> "Group":
        """The network of a modality's generator that restores media from noise."""
        return cls(f"outputs.{modality}.generator.denoiser")

    @classmethod
    def denoiser_lora(cls, modality: str) -> "Group":
        """The adapters in it."""
        return cls(f"outputs.{modality}.generator.lora")

    @property
    def side(self) -> str:
        """`inputs`, `llm` or `outputs`."""
        return self.partition(".")[0]

    @property
    def modality(self) -> str | None:
        """The modality that it serves; None on the side of the LLM."""
        found = _PART.fullmatch(self)
        return None if found is None else found["modality"]

    @property
    def part(self) -> str:
        """`encoder`, `lora`, `projector`, `generator`, `denoiser`; of the LLM what stands behind `llm.`, or `llm`."""
        found = _PART.fullmatch(self)
        return (self if found is None else found["part"]).rpartition(".")[2]

    @property
    def is_of_denoiser(self) -> bool:
        """Whether it is a generator's denoiser, or the adapters in one."""
        return self.side == "outputs" and self.part in {"denoiser", "lora"}

    @property
    def section(self) -> str | None:
        """Which section of its part it is; None of a whole part."""
        found = _PART.fullmatch(self)
        return None if found is None else found["section"]

    @property
    def whole(self) -> "Group":
        """The part of which it is a section, or itself."""
        return self if self.section is None else Group(self.removesuffix(f".{self.section}"))

    def inside(self, section: str) -> "Group":
        """A section of this part."""
        return Group(f"{self}.{section}")

    def within(self, names: Collection[str]) -> "Group | None":
        """The narrowest of these names that it is, or is a section of; None where it is none."""
        steps = self.split(".")
        prefixes = (".".join(steps[:length]) for length in range(len(steps), len(self.whole.split(".")) - 1, -1))
        return next((Group(prefix) for prefix in prefixes if prefix in names), None)

    @property
    def is_link(self) -> bool:
        """Whether it is made new for its system, unlike an encoder or an LLM."""
        return self.part in {"projector", "lora", "peft", "join", "new_tokens", "reward_head", "value_head"}


LLM = Group("llm")
LORA = Group("llm.lora")
PEFT = Group("llm.peft")
JOIN = Group("llm.join")
NEW_TOKENS = Group("llm.new_tokens")
REWARD_HEAD = Group("llm.reward_head")
VALUE_HEAD = Group("llm.value_head")
