"""Scores of samples in a file, so that a long measurement resumes where it was stopped."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modalink import files, json_files
from modalink.data_quality.sample import Sample
from modalink.errors import DataError

Score = dict[str, Any]


class Scores:
    """What was measured, by a key that holds all that it depends on.

    Args:
        path: JSON lines, added to; None keeps nothing.

    Raises:
        DataError: The file is damaged.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: dict[str, Score] = {}
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.cut_torn_line(path)
            remedy = "delete it, and start again"
            for line in json_files.lines(path, DataError, dict[str, Any], remedy=remedy):
                self._known[str(line.get("key"))] = line

    def get(self, key: str) -> Score | None:
        """What is known under a key."""
        return self._known.get(key)

    def add(self, rows: Mapping[str, Score]) -> None:
        """Keep scores by their keys.

        Raises:
            OSError: The disk takes no more.
        """
        lines = [{"key": key, **score} for key, score in rows.items()]
        self._known |= dict(zip(rows, lines, strict=True))
        if self._path is not None:
            files.append_json_lines(self._path, lines)


def key_of(*parts: Any) -> str:
    """A key of whatever a score depends on, as JSON data."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def content_of(sample: Sample) -> str:
    """What a sample says and shows, as one key; two samples with the same are measured alike."""
    turns = () if sample.conversation is None else sample.conversation.turns
    said = [(turn.role, turn.text, turn.loss) for turn in turns]
    return key_of(said, [(medium.role, medium.modality, medium.digest) for medium in sample.media])
