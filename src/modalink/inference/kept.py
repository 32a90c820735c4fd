"""Conversations in folders: what was said as JSON, the media beside it, to go on with another day."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from modalink import files, json_files, modalities
from modalink.conversation import Conversation, Medium
from modalink.errors import DataError, OptionError
from modalink.settings import user_folder

_NAME = "conversation.json"
_LONGEST = 64 * 2**20


def save_conversation(conversation: Conversation, folder: str | os.PathLike[str]) -> Path:
    """Write a conversation: its messages as `conversation.json`, its media in the order in which they stand.

    Files are copied as they are; decoded media are written in the format without loss of their modality.

    Args:
        conversation: The conversation, for example an answer's.
        folder: A new folder, or one that holds a conversation, which is replaced.

    Returns:
        The folder.

    Raises:
        OptionError: Something else stands there, or it cannot be written.
        MediumError: A medium cannot be read or written.
    """
    path = files.named(folder, OptionError)
    if path.exists() and not (path / _NAME).is_file():
        raise OptionError(f"{path}: found something else than a conversation there; name a new folder")
    try:
        with files.replacing(path) as beside:
            beside.mkdir()
            names = iter(range(1, 10**9))
            stored = _each(conversation, lambda medium: _stored(medium, beside, next(names)))
            files.write_json(beside / _NAME, {"id": stored.id, "messages": stored.to_messages()})
    except OSError as error:
        raise OptionError(f"{path}: the conversation cannot be written: {error.strerror or error}") from None
    return path


def keep_conversation(conversation: Conversation) -> Path:
    """Write a conversation that its user did not save: into a new folder among the user's own, named by the time.

    Args:
        conversation: The conversation.

    Returns:
        The folder, for example `~/.local/state/modalink/chats/2025-03-01-120000`.

    Raises:
        OptionError: It cannot be written.
        MediumError: A medium cannot be read or written.
    """
    chats = user_folder("XDG_STATE_HOME", ".local/state") / "chats"
    name = datetime.now().strftime("%Y-%m-%d-%H%M%S")
    names = (name if number == 1 else f"{name}-{number}" for number in count(1))
    return save_conversation(conversation, next(chats / one for one in names if not (chats / one).exists()))


def load_conversation(folder: str | os.PathLike[str]) -> Conversation:
    """The conversation that `save_conversation` wrote; its media are read when they are needed.

    Raises:
        DataError: The folder holds none, or names a file outside of itself.
        PromptError: Its messages are none.
    """
    path = files.named(folder, DataError)

    def damaged(detail: str) -> DataError:
        return DataError(f"{path / _NAME}: {detail}")

    data = json_files.parse(files.content(path / _NAME, damaged, _LONGEST), damaged, dict[str, Any])
    messages = json_files.shaped(data.get("messages"), damaged, list[dict[str, Any]])
    conversation = Conversation.from_messages(messages, str(data.get("id", "conversation")))
    return _each(conversation, lambda medium: replace(medium, source=files.inside(path, medium.source, damaged)))


def _each(conversation: Conversation, change: Callable[[Medium], Medium]) -> Conversation:
    """The same conversation with each of its media changed."""
    turns = []
    for turn in conversation.turns:
        content = tuple(change(piece) if isinstance(piece, Medium) else piece for piece in turn.content)
        turns.append(replace(turn, content=content))
    return replace(conversation, turns=tuple(turns))


def _stored(medium: Medium, folder: Path, number: int) -> Medium:
    """The same medium as a file of the folder, told by its name."""
    record, source = modalities.get(medium.modality), medium.source
    is_file = isinstance(source, os.PathLike) or (isinstance(source, str) and not source.startswith("data:"))
    suffix = Path(source).suffix.lower() if is_file else record.written
    name = f"{number}-{medium.modality}{suffix}"
    if is_file:
        record.open(source)  # what cannot be read is told by its own name
        shutil.copyfile(source, folder / name)
    else:
        record.keep(source, folder / name)
    return replace(medium, source=name)
