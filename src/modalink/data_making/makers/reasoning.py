"""Questions that need more than a look, as LLaVA's third set (arXiv 2304.08485, section 3)."""

from typing import Literal

from modalink.data_making.makers._rounds import RoundsConfig


class ReasoningMakerConfig(RoundsConfig):
    """Settings of questions that need reasoning."""

    kind: Literal["reasoning"] = "reasoning"
    wanted: str = (
        "Write one question about it that cannot be answered by naming what is there, but by thinking about it (why, "
        "what follows, what is compared), and the answer with the steps that lead to it."
    )
