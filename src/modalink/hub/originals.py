"""Weights in their authors' own format: a file of named tensors, beside no configuration that a library reads.

modalink has a network of its own for such checkpoints, with names of its own; a name map, which is data, says which
tensor of the file is which of the network's.
"""

import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from modalink import files, tensor_files
from modalink.errors import PartError
from modalink.hub.building import building
from modalink.hub.causes import foreign
from modalink.hub.files import locate, weight_files
from modalink.hub.loading import refuse

Network = TypeVar("Network", bound=nn.Module)


def load_original(
    build: Callable[[], Network],
    reference: str,
    *,
    names: Mapping[str, str],
    revision: str | None = None,
    dtype: str = "auto",
    within: Iterable[str] = (),
    beside: Iterable[type] = (),
    allow_unexpected: Iterable[str] = (),
) -> Network:
    """A network with the weights of a checkpoint in its authors' own format, loaded strictly, in evaluation mode.

    Args:
        build: Builds the network; it is built on the meta device, so all that it keeps must come from the file.
        reference: A weight file, a local folder that holds one, or a hub id.
        names: Pattern -> replacement: turns the names in the file into the network's, all patterns in their order.
        revision: Commit or tag of a hub id.
        dtype: `auto` (as saved), `float32`, `bfloat16` or `float16`.
        within: Keys under which the tensors may lie in the file, the first that is there; else they are the file.
        beside: Classes of plain data that may lie beside the tensors, such as `argparse.Namespace`; no other is built.
        allow_unexpected: Patterns of names in the file that the network need not have.

    Raises:
        PartError: The checkpoint is absent, damaged, holds more than tensors, or is one of another architecture.
    """
    given = files.named(reference, PartError)
    file = given if given.is_file() else _only_file(locate(reference, revision), reference)
    held = _state(file, within, beside)
    state = {_renamed(name, names): tensor for name, tensor in held.items()}
    if len(state) != len(held):
        twice = Counter(_renamed(name, names) for name in held).most_common(1)[0][0]
        raise PartError(f"{reference}: the checkpoint holds several tensors that are {twice} here; it is damaged")
    with building(f"{reference}: its network cannot be built"), torch.device("meta"):
        network = build()
    own, kind = network.state_dict(), type(network)
    refuse(reference, kind, "lacks parameters that the model needs", own.keys() - state.keys(), ())
    refuse(reference, kind, "holds tensors that the model has not", state.keys() - own.keys(), allow_unexpected)
    state = {name: tensor for name, tensor in state.items() if name in own}
    tensor_files.refuse_odd(state, own, file.parent, partial(_of, reference))
    network.load_state_dict(state, strict=False, assign=True)
    return (network if dtype == "auto" else network.to(getattr(torch, dtype))).eval()


def settings_beside(reference: str, key: str, *, revision: str | None = None) -> dict[str, Any]:
    """What a checkpoint in its authors' own format says of itself, beside its tensors.

    Args:
        reference: A local folder that holds one weight file, or a hub id.
        key: Where the settings lie in the file.
        revision: Commit or tag of a hub id.

    Raises:
        PartError: The checkpoint is absent, damaged, or holds no such settings.
    """
    file = _only_file(locate(reference, revision), reference)
    content = None if file.suffix == ".safetensors" else _content(file)
    settings = content.get(key) if isinstance(content, dict) else None
    if not isinstance(settings, dict):
        raise PartError(f"{file}: found no settings under {key!r}, needed them beside the tensors")
    return {str(name): value for name, value in settings.items()}


def _of(reference: str, detail: str) -> PartError:
    return PartError(f"{reference}: {detail}")


def _only_file(folder: Path, reference: str) -> Path:
    found = weight_files(folder)
    if len(found) != 1:
        there = ", ".join(str(file.relative_to(folder)) for file in found[:3]) or "none"
        raise PartError(
            f"{reference}: found the weight files {there} in {folder}, needed one: give a folder that holds it alone"
        )
    return found[0]


def _state(file: Path, within: Iterable[str], beside: Iterable[type]) -> dict[str, Tensor]:
    if file.suffix == ".safetensors":
        return tensor_files.read(file, PartError)
    content = _content(file, beside)
    held = next((content[key] for key in within if isinstance(content, dict) and key in content), content)
    if not isinstance(held, dict) or not all(isinstance(tensor, Tensor) for tensor in held.values()):
        found = ", ".join(map(str, [*content][:5])) if isinstance(content, dict) else type(content).__name__
        raise PartError(f"{file}: found {found}, needed named tensors")
    return held


def _content(file: Path, beside: Iterable[type] = ()) -> Any:
    plain = torch.serialization.safe_globals([*beside])
    with foreign(PartError, f"{file}: its weights cannot be read"), plain:
        # What lies in an archive is read where it is used, so that parts that nothing needs take no memory.
        return torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))


def _renamed(name: str, names: Mapping[str, str]) -> str:
    for pattern, replacement in names.items():
        name = re.sub(pattern, replacement, name)
    return name
