"""Media as records name them: files stay where they are, and what is in no file becomes one beside the records."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from modalink import files, modalities
from modalink.conversation import Content, Conversation, Medium, inner_source
from modalink.roles import ModalityRecord

# How files of these kinds begin, at which byte.
_BEGINNINGS = (
    (0, b"\x89PNG", ".png"), (0, b"\xff\xd8\xff", ".jpg"), (0, b"GIF8", ".gif"), (8, b"WEBP", ".webp"),
    (8, b"WAVE", ".wav"), (0, b"fLaC", ".flac"), (0, b"OggS", ".ogg"), (0, b"ID3", ".mp3"), (4, b"ftyp", ".mp4"),
    (0, b"\x1aE\xdf\xa3", ".webm"), (0, b"ply", ".ply"), (0, b"glTF", ".glb"),
)  # fmt: skip


class MediaStore:
    """Gives media of conversations sources that a record can hold.

    Args:
        folder: The folder of the records, which their paths are relative to.
        name: The folder in it for media that are in no file, made when the first comes.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name

    def stored(self, conversation: Conversation) -> Conversation:
        """The conversation with media whose sources are texts: paths, data URLs and addresses.

        Raises:
            MediumError: A medium that is in no file cannot be read.
            OSError: It cannot be written.
        """
        turns = (replace(turn, content=tuple(map(self._piece, turn.content))) for turn in conversation.turns)
        return replace(conversation, turns=tuple(turns))

    def _piece(self, piece: Content) -> Content:
        return replace(piece, source=self._source(piece)) if isinstance(piece, Medium) else piece

    def _source(self, medium: Medium) -> str:
        source = medium.source
        if isinstance(source, Mapping) and isinstance(inner := inner_source(source), str | bytes):
            source = inner
        if isinstance(source, str | os.PathLike):
            return self._named(os.fspath(source))
        return self._kept(source, modalities.get(medium.modality))

    def _named(self, source: str) -> str:
        """A path below the folder as one that is relative to it, any other as a whole."""
        if source[:5].lower() == "data:" or "://" in source[:32]:
            return source
        path, home = Path(source).absolute(), self._folder.absolute()
        return str(path.relative_to(home) if path.is_relative_to(home) else path)

    def _kept(self, source: Any, row: ModalityRecord) -> str:
        if isinstance(source, bytes | bytearray | memoryview):
            content = bytes(source)
            suffix = next((s for at, sign, s in _BEGINNINGS if content[at:].startswith(sign)), row.written)
            path = self._place(hashlib.sha256(content).hexdigest(), suffix)
            if not path.exists():
                files.write(path, content)
        else:
            handle = row.open(source)
            path = self._place(handle.digest, row.written)
            if not path.exists():
                with files.replacing(path) as beside:
                    named = beside.with_suffix(row.written)  # whose suffix tells the format
                    try:
                        row.keep(handle, named)
                        os.replace(named, beside)
                    finally:
                        named.unlink(missing_ok=True)
        return str(path.relative_to(self._folder))

    def _place(self, digest: str, suffix: str) -> Path:
        """Named after its content: the same medium is kept once, and written anew it has the same name."""
        return self._folder / self._name / f"{digest[:24]}{suffix}"
