"""Progress bars of other libraries: those of reading and writing files that are here say nothing to a user."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars

_LIBRARIES = ("transformers", "diffusers")


@contextmanager
def without_bars() -> Iterator[None]:
    """Keep the bars of transformers and diffusers away; those of downloads, which are long, are none of these."""
    with ExitStack() as stack:
        if are_progress_bars_disabled():  # which the libraries would undo with their own
            stack.callback(disable_progress_bars)
        for library in _LIBRARIES:
            if library in sys.modules:
                bars: Any = importlib.import_module(f"{library}.utils.logging")
                if bars.is_progress_bar_enabled():
                    bars.disable_progress_bar()
                    stack.callback(bars.enable_progress_bar)
        yield
