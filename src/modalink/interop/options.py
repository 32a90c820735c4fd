"""What can be chosen of an export."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ExportOptions:
    """What to write.

    Args:
        lora: Whether LoRA is merged into the LLM, or stays beside it as adapters that peft loads.
        self_contained: Whether untouched parts are copied into the folder, instead of named by a reference.
        check: Whether what was written is loaded again and compared with the run.
        shard: Largest weight file.
    """

    lora: Literal["merged", "beside"] = "merged"
    self_contained: bool = False
    check: bool = True
    shard: str = "5GB"
