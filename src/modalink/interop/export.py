"""From a run to a folder that others load: its own artefact, or the classes of transformers that servers know."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modalink import files
from modalink.errors import CheckpointError, OptionError
from modalink.inference.loading import load_system, model_folder
from modalink.interop import _card
from modalink.interop._llava_form import refuse_unfit
from modalink.interop.export_hf import write_hf
from modalink.interop.export_llava import write_llava
from modalink.interop.options import ExportOptions
from modalink.model import System
from modalink.model.configuration import read_config, spec_of
from modalink.recipe import SystemSpec
from modalink.runs.facts import read_run
from modalink.runs.folder import RECIPE

Target = Literal["hf", "llava"]


@dataclass(frozen=True)
class _Format:
    """A format that systems are written in.

    Args:
        refuse: Refuses a system that it cannot hold, by its settings.
        write: Writes a system into an empty folder.
        usage: How the folder is loaded, as Markdown.
    """

    refuse: Callable[[SystemSpec], None]
    write: Callable[[System, Path, ExportOptions], None]
    usage: str


_HF = """\
```python
import modalink  # the Auto classes know it from then on
from transformers import AutoModelForImageTextToText, AutoProcessor

model, processor = AutoModelForImageTextToText.from_pretrained(FOLDER), AutoProcessor.from_pretrained(FOLDER)
session = modalink.load(FOLDER)  # or with sessions, as `modalink ask FOLDER` has them
```"""
_LLAVA = """\
```python
from transformers import AutoModelForImageTextToText, AutoProcessor

model = AutoModelForImageTextToText.from_pretrained(FOLDER)
processor = AutoProcessor.from_pretrained(FOLDER, backend="pil")  # scales images as in training
inputs = processor.apply_chat_template(
    messages, tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True
)
answer = model.generate(**inputs, max_new_tokens=64)
```"""
FORMATS: dict[str, _Format] = {
    "hf": _Format(lambda spec: None, write_hf, _HF),
    "llava": _Format(refuse_unfit, write_llava, _LLAVA),
}
"""Name -> how it is written."""


def export(
    run: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    to: Target = "llava",
    best: bool = False,
    options: ExportOptions | None = None,
) -> Path:
    """Write a run in the format of others, with a model card; the folder is there when all is, or not at all.

    Args:
        run: A run folder, a folder that `System.save` wrote, or a hub id of one.
        out: The folder to write; it must be new or empty.
        to: `hf`, the run's own artefact for the Auto classes, or `llava`, transformers' LLaVA or LLaVA-NeXT.
        best: Take the best checkpoint of the last stage that kept one, instead of the end of training.
        options: What to write.

    Returns:
        The folder.

    Raises:
        OptionError: The folder holds something, or an option does not go with the format.
        CheckpointError: There is no finished run, or what was written is not what the run is.
        PartError: The format cannot hold the system; the message says which part does not fit, and what would.
        PromptError: The format's processor would read conversations as other tokens.
    """
    options = options or ExportOptions()
    folder = _free(out)
    _refuse_options(to, options)
    source = model_folder(run)
    FORMATS[to].refuse(spec_of(read_config(source).spec))
    system = load_system(run, best=best)
    place = Path(run)
    facts = read_run(place) if (place / RECIPE).is_file() else None
    name = facts.name if facts is not None else folder.name
    with files.replacing(folder) as beside:
        beside.mkdir()
        FORMATS[to].write(system, beside, options)
        text = _card.card(name, system, facts, beside, FORMATS[to].usage.replace("FOLDER", f'"{folder.name}"'))
        (beside / "README.md").write_text(text, encoding="utf-8")
    return folder


def _free(out: str | os.PathLike[str]) -> Path:
    folder = files.named(out, CheckpointError)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        found = "files" if folder.is_dir() else "a file"
        raise OptionError(f"{folder}: found {found} there, needed a new or an empty folder for the export")
    return folder.absolute()


def _refuse_options(to: str, options: ExportOptions) -> None:
    if not re.fullmatch(r"[1-9]\d*(KB|MB|GB|TB)", options.shard):
        raise OptionError(f"shard: found {options.shard!r:.40}, needed a size such as 5GB or 500MB")
    if to != "hf" and options.self_contained:
        raise OptionError(f"self-contained goes with `--to hf`: what is written `--to {to}` always is")
    if to == "hf" and options.lora != "merged":
        raise OptionError("LoRA beside goes with `--to llava`: with `--to hf` adapters stay as the run has them")
