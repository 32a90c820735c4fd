"""A system as its own artefact: a folder for the Auto classes, with its parts named or within it."""

import re
import shutil
from pathlib import Path
from typing import Any

from modalink import files, hub, json_files
from modalink.errors import CheckpointError
from modalink.interop.options import ExportOptions
from modalink.model import System
from modalink.model.own_folder import HERE
from modalink.model.references import references
from modalink.recipe.groups import Group

_REFERENCES = ("checkpoint", "tokenizer")
"""Settings of a part that name a checkpoint."""
_FOLDER = "parts"


def write_hf(system: System, folder: Path, options: ExportOptions) -> None:
    """Write a system for the Auto classes, which load it after `import modalink`.

    Args:
        system: The system.
        folder: An empty folder.
        options: What to write.

    Raises:
        PartError: A part's checkpoint is not to be had.
    """
    system.save(folder)
    if not options.self_contained:
        return
    copies, known = _Copies(folder), references(system.spec)
    for name in ("config.json", "processor_config.json"):
        settings = json_files.read(folder / name, CheckpointError, dict[str, Any])
        settings["spec"] = copies.within(settings["spec"])
        for part, reference in settings.get("references", {}).items():
            sources = known[Group(part)].checkpoints()
            if len(sources) == 1:
                sources = ((reference["id"], reference["revision"]),)
            places = [copies.of(*source) for source in sources]
            if all(place is not None for place in places):
                reference |= {"id": hub.BESIDE.join(map(str, places)), "revision": None}
        (settings.get("text_config") or {}).pop("_name_or_path", None)  # of a folder on this machine, perhaps
        files.write_json(folder / name, settings)


class _Copies:
    """Checkpoints that are copied into a folder, each once.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.places: dict[Path, str] = {}

    def within(self, settings: Any) -> Any:
        """Settings of parts with the places of copies in them."""
        if isinstance(settings, list):
            return [self.within(value) for value in settings]
        if not isinstance(settings, dict):
            return settings
        found = {key: self.within(value) for key, value in settings.items()}
        for key in _REFERENCES:
            if isinstance(settings.get(key), str):
                weights = key == "checkpoint"
                place = self.of(settings[key], settings.get("revision") if weights else None, weights=weights)
                found |= {} if place is None else {key: place} | ({"revision": None} if weights else {})
        return found

    def of(self, reference: str, revision: str | None, *, weights: bool = True) -> str | None:
        """The place of a checkpoint's copy; None where nothing is named."""
        if reference in ("none", "llm"):  # a part without a checkpoint, a projector that reads as the LLM does
            return None
        source = hub.locate(reference, revision, weights=weights)
        if source not in self.places:
            base = re.sub(r"[^\w.-]+", "-", reference.rpartition("/")[2].removeprefix("zoo:")) or "part"
            taken = {place.rpartition("/")[2] for place in self.places.values()}
            name = next(n for n in (base, *(f"{base}-{i}" for i in range(2, len(taken) + 3))) if n not in taken)
            for file in hub.checkpoint_files(source):
                target = self.folder / _FOLDER / name / file.relative_to(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
            self.places[source] = f"{HERE}{_FOLDER}/{name}"
        return self.places[source]
