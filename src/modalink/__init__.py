"""modalink composes, trains, evaluates and serves multimodal large language models out of parts that exist already.

Three depths:

    modalink.load("runs/demo").ask("What is left of the cube?", image="a.png")     # a line
    session = modalink.load("runs/demo"); session.chat([...])                     # a session
    model, processor = modalink.build("demo"); model.generate(**processor(...))   # the machinery

After `import modalink` the Auto classes and pipelines of transformers load what it saved.
"""

import importlib
from typing import TYPE_CHECKING, Any

from modalink import auto_classes

if TYPE_CHECKING:
    from modalink.conversation import Conversation as Conversation
    from modalink.errors import ModalinkError as ModalinkError
    from modalink.inference import Answer as Answer
    from modalink.inference import Session as Session
    from modalink.inference import load as load
    from modalink.model import build as build
    from modalink.recipe import Recipe as Recipe
    from modalink.settings import RunSettings as RunSettings
    from modalink.training.train import train as train

__version__ = "0.1.0"

_HOMES = {
    "Answer": "modalink.inference",
    "Conversation": "modalink.conversation",
    "ModalinkError": "modalink.errors",
    "Recipe": "modalink.recipe",
    "RunSettings": "modalink.settings",
    "Session": "modalink.inference",
    "build": "modalink.model",
    "load": "modalink.inference",
    "train": "modalink.training.train",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    # Loaded on first use: `modalink --help` must not wait for torch.
    if name not in _HOMES:
        raise AttributeError(f"module 'modalink' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)


auto_classes.announce()
