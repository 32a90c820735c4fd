"""Parts that lie in a saved system's own folder: named by their place in it, wherever the folder is taken."""

from pathlib import Path
from typing import Any

from modalink import files, hub
from modalink.errors import CheckpointError

HERE = "here:"
"""How a reference begins that is a place in the folder of the file that holds it, such as `here:parts/llm`."""


def resolved(data: dict[str, Any], folder: Any, subfolder: str = "") -> dict[str, Any]:
    """The data of a saved system's file with the places in its folder as paths.

    Args:
        data: JSON data.
        folder: The folder that holds the file, or a hub id of it.
        subfolder: Where in it the file is.

    Raises:
        CheckpointError: A place is not in the folder.
    """
    if not _holds_any(data):
        return data
    home = hub.locate(str(folder)) / (subfolder or "")
    found: dict[str, Any] = _resolved(data, home)
    return found


def _holds_any(data: Any) -> bool:
    if isinstance(data, str):
        return data.startswith(HERE)
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return any(map(_holds_any, inner))


def _resolved(data: Any, home: Path) -> Any:
    if isinstance(data, dict):
        return {key: _resolved(value, home) for key, value in data.items()}
    if isinstance(data, list):
        return [_resolved(value, home) for value in data]
    if isinstance(data, str) and data.startswith(HERE):
        places = data.split(hub.BESIDE)
        return hub.BESIDE.join(str(files.inside(home, place.removeprefix(HERE), CheckpointError)) for place in places)
    return data
