"""What settings of generators share that tests install as kinds: there is no checkpoint, and nothing smaller."""

from typing import Self

from modalink.roles import GeneratorConfig


class WeightlessConfig(GeneratorConfig):
    """Settings of a generator without weights."""

    checkpoint: str = "none"

    def checkpoints(self) -> tuple[tuple[str, str | None], ...]:
        return ()

    def tiny(self) -> Self:
        return self
