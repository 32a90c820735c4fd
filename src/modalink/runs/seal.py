"""Whether a folder that counts as done is whole: its files, their sizes and hashes stand in a file of it."""

from dataclasses import asdict, dataclass
from pathlib import Path

from modalink import files, json_files
from modalink.errors import CheckpointError

SEAL = "files.json"


@dataclass(frozen=True)
class _File:
    size: int
    sha256: str


def seal(folder: Path) -> None:
    """Write down what a folder holds.

    Raises:
        OSError: It cannot be written.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    found = {str(path.relative_to(folder)): _File(path.stat().st_size, files.sha256(path)) for path in paths}
    files.write_json(folder / SEAL, {name: asdict(state) for name, state in found.items()})


def flaw(folder: Path) -> str | None:
    """What is not as it was written down; None where all is."""
    if not (folder / SEAL).is_file():
        return f"it holds no {SEAL}, which training writes last"
    try:
        written = json_files.read(folder / SEAL, CheckpointError, dict[str, _File])
        held = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
        for name, state in written.items():
            if (path := held.get(name)) is None:
                return f"its {name} is gone"
            if (size := path.stat().st_size) != state.size:
                return f"its {name} has {size:,} bytes, needed {state.size:,}"
            if files.sha256(path) != state.sha256:
                return f"its {name} has another hash than when it was written"
    except (OSError, ValueError) as error:
        return f"it cannot be read ({error})"
    return None
