"""What an error of somebody else's library says, in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pickle import UnpicklingError

from modalink.errors import ModalinkError
from modalink.files import Damaged


@contextmanager
def foreign(damaged: Damaged, what: str) -> Iterator[None]:
    """Turn whatever another library raises while it reads somebody's files into an error of the room that asks.

    Args:
        damaged: Makes the error.
        what: What is read, the beginning of the message.

    Raises:
        Exception: What `damaged` makes; errors of ours pass as they are.
    """
    try:
        yield
    except ModalinkError:
        raise
    except Exception as error:
        raise damaged(f"{what}: {_ours(error) or first_line(error)}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # what libraries in Rust raise where they have no other words
            raise
        raise damaged(f"{what}: {first_line(error)}") from error


def _ours(error: Exception) -> str | None:
    """Our words for what a library would answer with the advice to switch its protection off."""
    text = str(error)
    if "trust_remote_code" in text:
        return (
            "it needs code that the checkpoint brings (auto_map), which is never run; choose a checkpoint whose type "
            "transformers knows"
        )
    if "weights_only" in text or "UnpicklingError" in text or isinstance(error, UnpicklingError):
        return (
            "its weight file is a pickle of more than plain tensors, which is never run; needed safetensors (convert "
            "it where you trust it)"
        )
    if "instantiate the backend tokenizer" in text:
        return "it holds no tokenizer; needed tokenizer.json, which `save_pretrained` of a tokenizer writes"
    if "preprocessor_config.json" in text and "Can't load" in text:
        return "it does not say how media are prepared for it; needed preprocessor_config.json"
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if isinstance(error, MemoryError):
        return "it asks for more memory than there is"
    return None


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its name if it has none."""
    name = type(error).__name__
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), name)
    return f"{name} {first}" if isinstance(error, KeyError) else first
