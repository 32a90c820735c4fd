"""Advice of other libraries that is wrong for a checkpoint: it would only make a user wonder."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_advice(logger: str) -> Iterator[None]:
    """Keep the warnings of one logger away, such as `transformers.configuration_utils`; errors still come."""
    own = logging.getLogger(logger)
    level = own.level
    own.setLevel(logging.ERROR)
    try:
        yield
    finally:
        own.setLevel(level)
