"""Dialogues of several questions about what is shown, as LLaVA's first set (arXiv 2304.08485, section 3)."""

from typing import Literal

from modalink.data_making.makers._rounds import RoundsConfig


class ConversationMakerConfig(RoundsConfig):
    """Settings of dialogues about media."""

    kind: Literal["conversation"] = "conversation"
    wanted: str = (
        "Write a dialogue about it between a person who asks and an assistant who answers: what is there, how many, of "
        "what kind, where, doing what. Ask only what can be answered with certainty."
    )
    least: int = 2
    most: int = 8
