"""Whether a run that is resumed still reads the data that it read before."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from modalink import json_files
from modalink.data.fingerprint import Fingerprint, changes, fingerprint
from modalink.data.source import Source, SourceConfig, Stream
from modalink.errors import CheckpointError
from modalink.runs.folder import write_json
from modalink.training.events import Warned
from modalink.training.loop import Run

FILE = "data.json"


def check_data(
    run: Run, stage: str, configs: Sequence[SourceConfig], sources: Sequence[Source | Stream], folder: Path
) -> None:
    """Compare a stage's data with what its folder says of them, and write down what they are now.

    Args:
        run: The run, which says what a change does.
        stage: Name of the stage.
        configs: Settings of its sources.
        sources: The same, opened.
        folder: Where it is written down.

    Raises:
        CheckpointError: The data have changed and that shall end the run; or the file is damaged.
    """
    names = [f"{number}: {config.name}" for number, config in enumerate(configs)]
    now = {name: fingerprint(*given) for name, given in zip(names, zip(configs, sources, strict=True), strict=True)}
    path = folder / FILE
    known = _read(path) if path.exists() else {"sources": {}, "changes": []}
    found = [
        f"{configs[number].name}: {line}"
        for number, name in enumerate(names)
        if name in known["sources"]
        for line in changes(known["sources"][name], now[name])
    ]
    if found:
        _tell(run, stage, found)
    states = {name: {file: asdict(state) for file, state in files.items()} for name, files in now.items()}
    history = [*known["changes"], *([found] if found else [])]
    write_json(path, {"sources": states, "changes": history})


def _tell(run: Run, stage: str, found: list[str]) -> None:
    text = f"stage {stage}: its data changed since this run read them:" + "".join(f"\n  {line}" for line in found)
    if run.on_changed_data == "fail":
        raise CheckpointError(
            f"{text}\nrestore them, or choose another run folder, or go on with them by --on-changed-data warn"
        )
    run.emit(Warned(f"{text}\n  it goes on with the data as they are; --on-changed-data fail would stop here"))


def _read(path: Path) -> dict[str, Any]:
    shape = dict[str, Any]
    content = json_files.read(path, CheckpointError, shape, remedy="delete it, and the data are taken as they are")

    def damaged(detail: str) -> CheckpointError:
        return CheckpointError(f"{path}: {detail}; delete it, and the data are taken as they are")

    sources = json_files.shaped(content.get("sources"), damaged, dict[str, Fingerprint])
    return {"sources": sources, "changes": json_files.shaped(content.get("changes"), damaged, list[list[str]])}
