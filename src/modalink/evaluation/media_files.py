"""Which files of a folder are media of a modality."""

from pathlib import Path

from modalink import modalities
from modalink.errors import DataError


def media_files(folder: Path, modality: str) -> list[Path]:
    """A folder's media of a modality, in alphabetical order.

    Raises:
        DataError: It holds none.
    """
    suffixes = modalities.get(modality).suffixes
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)
    if not paths:
        raise DataError(f"{folder}: found no {modality}, needed files {', '.join(suffixes)}")
    return paths
