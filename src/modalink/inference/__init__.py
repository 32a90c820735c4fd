"""Inference: a trained system, asked."""

from modalink.inference.answer import Answer
from modalink.inference.destination import Destination
from modalink.inference.engine import Engine
from modalink.inference.kept import keep_conversation, load_conversation, save_conversation
from modalink.inference.loading import load
from modalink.inference.request import Begun, Completion, Made, Making, Request, Watch
from modalink.inference.sampling import Sampling
from modalink.inference.session import Session, Stream, asked

__all__ = [
    "Answer", "Begun", "Completion", "Destination", "Engine", "Made", "Making", "Request", "Sampling", "Session",
    "Stream", "Watch", "asked", "keep_conversation", "load", "load_conversation", "save_conversation",
]  # fmt: skip
