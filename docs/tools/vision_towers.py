"""Tries every vision tower of a list and writes what came of it into `docs/encoders.md`.

Run: `python docs/tools/vision_towers.py`, as `make towers` does; with names, only those are tried, and printed. Nothing
is fetched: each is its class and its configuration's defaults, with random weights at small size. What was found out on
this machine before is not found out again.
"""

import json
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import transformers
import yaml
from marked import Marked
from transformers import AutoConfig, PreTrainedConfig

from modalink.encoders import verdict_on
from modalink.encoders._reading import Reading
from modalink.encoders.vision import VisionConfig
from modalink.errors import ModalinkError

TOWERS = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
TABLE = Marked(
    Path(__file__).parents[1] / "encoders.md", "<!-- table of vision towers -->", "<!-- end of the table -->"
)


def main(names: list[str]) -> None:
    """Try the towers; write the table, or print the rows of those that are named."""
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    started = time.monotonic()
    rows = []
    for name in names or [*TOWERS["transformers"], *(f"timm/{name}" for name in TOWERS["timm"])]:
        rows.append("| " + " | ".join((f"`{name}`", *_tried(name))) + " |")
        print(rows[-1], flush=True)
    print(f"{len(rows)} towers in {time.monotonic() - started:.0f} s", file=sys.stderr)
    if not names:
        libraries = ", ".join(f"{name} {version(name)}" for name in ("transformers", "timm", "torch"))
        table = "\n".join(["| tower | `layer: -2` | `layer: output` |", "| --- | --- | --- |", *rows])
        TABLE.write(f"Tried with {libraries}.\n\n{table}")


def _tried(name: str) -> Iterator[str]:
    """What is found at the two layers that are read most."""
    with tempfile.TemporaryDirectory() as place:
        try:
            reference = name if name.startswith("timm/") else str(_folder(name, Path(place)))
        except Exception as error:  # whatever a class says of its own defaults
            reason = f"cannot be configured: {type(error).__name__}"
            yield from (reason, reason)
            return
        for layer in (-2, "output"):
            try:
                yield _found(VisionConfig(checkpoint=reference, layer=layer)).replace("|", "/")
            except ModalinkError as error:
                yield "refused: " + str(error).replace(f"{reference}: ", "").replace("|", "/")


def _found(config: VisionConfig) -> str:
    verdict = verdict_on(config)
    if verdict.verdict == "right":
        return str(Reading(**verdict.facts))
    return f"{verdict.verdict}: {verdict.reason}"


def _folder(model_type: str, folder: Path) -> Path:
    """A folder with the configuration of a class's defaults, or of what the list says, without weights."""
    config: PreTrainedConfig = AutoConfig.for_model(model_type, **TOWERS["settings"].get(model_type, {}))
    config.save_pretrained(folder)
    side = getattr(config, "image_size", None) or 224
    side = side if isinstance(side, int) else side[0]
    settings = {"image_processor_type": "ViTImageProcessor", "size": {"height": side, "width": side}}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


if __name__ == "__main__":
    main(sys.argv[1:])
