"""Inference: a trained system, asked."""

from modalink.inference.answer import Answer
from modalink.inference.destination import Destination
from modalink.inference.engine import Engine
from modalink.inference.loading import load
from modalink.inference.request import Completion, Request
from modalink.inference.sampling import Sampling
from modalink.inference.session import Session, Stream, asked

__all__ = ["Answer", "Completion", "Destination", "Engine", "Request", "Sampling", "Session", "Stream", "asked", "load"]
