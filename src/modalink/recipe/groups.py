"""The names of the groups of parameters that a stage's `train` chooses from."""


class Group(str):
    """One name, read by its parts: `llm`, `llm.lora`, `llm.join`, `llm.new_tokens`, `inputs.image.encoder` and so on.

    It is a string, so that it is what files and people write; nobody else takes the string apart.
    """

    __slots__ = ()

    @classmethod
    def encoder(cls, modality: str) -> "Group":
        """The encoder that a modality has."""
        return cls(f"inputs.{modality}.encoder")

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
        """The generator that makes a modality; never trained."""
        return cls(f"outputs.{modality}.generator")

    @property
    def side(self) -> str:
        """`inputs`, `llm` or `outputs`."""
        return self.partition(".")[0]

    @property
    def modality(self) -> str | None:
        """The modality that it serves; None on the side of the LLM."""
        if self.side == "llm":
            return None
        return self.partition(".")[2].rpartition(".")[0]

    @property
    def part(self) -> str:
        """`encoder`, `projector` or `generator`; `llm`, `lora`, `join` or `new_tokens` on the side of the LLM."""
        return self.rpartition(".")[2]

    @property
    def is_link(self) -> bool:
        """Whether it is made new for its system, unlike an encoder or an LLM."""
        return self.part in {"projector", "lora", "join", "new_tokens"}


LLM = Group("llm")
LORA = Group("llm.lora")
JOIN = Group("llm.join")
NEW_TOKENS = Group("llm.new_tokens")
