"""Descriptions in detail, as LLaVA's second set (arXiv 2304.08485, section 3)."""

from typing import Literal

from modalink.data_making.makers._rounds import RoundsConfig


class DetailMakerConfig(RoundsConfig):
    """Settings of descriptions in detail."""

    kind: Literal["detail"] = "detail"
    wanted: str = (
        "Write one request for a thorough description of it, in words of your own, and the description: all that is "
        "known of it, in whole sentences."
    )
