"""The zoo: tiny frozen parts in Hugging Face formats, and the procedural tiny world that they were trained on."""

from pathlib import Path

from modalink.errors import UnknownNameError

PARTS = Path(__file__).parent / "parts"
"""Folder of the parts that ship with the package."""


def names() -> list[str]:
    """Names of the parts that ship."""
    return sorted(folder.name for folder in PARTS.iterdir() if folder.is_dir())


def path(name: str) -> Path:
    """Folder of a part, to be given to any loader of Hugging Face checkpoints.

    Raises:
        UnknownNameError: there is no such part; the message names those that are known.
    """
    if name not in names():
        raise UnknownNameError("zoo part", name, names())
    return PARTS / name
