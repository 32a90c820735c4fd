"""What all kits ask of a part: its settings, its preprocessing, its weights, its independence of the batch."""

import json
import pickle
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from modalink import hub, modalities
from modalink.errors import PartError
from modalink.hub.files import weight_files
from modalink.kinds import KindConfig
from modalink.ragged import Ragged
from modalink.roles import PartConfig, Preprocessor


def require(holds: bool, obligation: str) -> None:
    """Raise an `AssertionError` that names the obligation, unless it holds."""
    if not holds:
        raise AssertionError(obligation)


def examples(declared: Collection[str], count: int = 3) -> list[Any]:
    """Media of a modality that a part declares, of different sizes, the same ones in every process."""
    known = sorted(set(declared) & {*modalities.names()})
    require(bool(known), f"a part must declare its modalities, by names that are known; found {sorted(declared)}")
    return [modalities.get(known[0]).example(number) for number in range(count)]


def check_settings(config: KindConfig) -> None:
    """Settings survive JSON, cannot be changed, and refuse keys that they do not know."""
    data = json.loads(config.model_dump_json())
    require(type(config).model_validate(data) == config, f"settings must survive JSON: {data} reads back otherwise")
    for attempt, obligation in (
        (lambda: type(config).model_validate({**data, "no_such_key": 1}), "must refuse unknown keys"),
        (lambda: setattr(config, "kind", "other"), "must be frozen"),
    ):
        try:
            attempt()
        except ValidationError:
            continue
        raise AssertionError(f"settings {obligation}: {type(config).__name__} does not")


def check_preprocessor(make: Callable[[], Preprocessor], media: Sequence[Any]) -> Ragged:
    """Preprocessing is a pure function of its description; gives the preprocessed media."""
    first = make()
    require(isinstance(first, Preprocessor), f"{type(first).__name__} must be a Preprocessor")
    layouts, values = [first.layout(medium) for medium in media], [first(medium) for medium in media]
    for value, layout in zip(values, layouts, strict=True):
        require(value.dtype == torch.float32, f"preprocessing must give float32, found {value.dtype}")
        require(len(value) == layout.units, f"the layout tells {layout.units} units, found {len(value)}")
        require(value.shape[1:] == values[0].shape[1:], f"units must have one shape: {value.shape}, {values[0].shape}")
        require(bool(value.isfinite().all()), "preprocessing must give finite numbers")
    described = first.to_dict()
    require(json.loads(json.dumps(described)) == described, "to_dict must give JSON data: lists, not tuples or arrays")
    for other, how in ((make(), "built anew"), (pickle.loads(pickle.dumps(first)), "pickled")):
        require(other.to_dict() == described, f"to_dict must be the same when {how}")
        same = all(torch.equal(other(medium), value) for medium, value in zip(media, values, strict=True))
        require(same, f"preprocessing must give the same numbers when {how}")
    return Ragged.of(values, layouts)


def check_units(preprocess: Preprocessor, declared: Collection[str], items: Ragged) -> None:
    """An opened medium, whatever is decoded of it, has the units of the decoded one."""
    known = min(set(declared) & {*modalities.names()})
    for medium, layout, units in zip(examples(declared), items.layouts, items, strict=True):
        handle = modalities.get(known).open(medium)
        require(preprocess.layout(handle) == layout, "an opened medium must lie as the decoded one")
        require(torch.equal(preprocess.units(handle), units), "an opened medium must have the units of the decoded one")


def require_close(found: Tensor, expected: Tensor, obligation: str) -> None:
    """Equal within rounding: another batch size may take other kernels."""
    tolerance = 1e-4 if expected.dtype == torch.float32 else 3e-2
    worst = (found.float() - expected.float()).abs().max().item()
    scale = max(1.0, expected.float().abs().max().item())
    require(worst <= tolerance * scale, f"{obligation}: they differ by {worst:.2g}")


def check_batching(call: Callable[[Ragged], Ragged], items: Ragged, what: str) -> Ragged:
    """A result depends on its item alone, and is the same every time; gives the results."""
    try:
        with torch.no_grad():
            together, again = call(items), call(items)
            alone = [call(items.take([number])).values for number in range(len(items))]
    except PartError as error:
        raise AssertionError(f"{what} must give the tokens that the layout tells: {error}") from error
    require(torch.equal(together.values, again.values), f"{what} must be deterministic")
    require([len(one) for one in alone] == [*together.lengths], f"{what} must give an item the same length alone")
    require_close(together.values, torch.cat(alone), f"{what} in a batch must equal {what} one by one")
    return together


def check_rows(call: Callable[[Tensor], Tensor], rows: Tensor, what: str) -> Tensor:
    """The same of a function from rows to rows."""
    with torch.no_grad():
        together, again = call(rows), call(rows)
        alone = torch.cat([call(row[None]) for row in rows])
    require(torch.equal(together, again), f"{what} must be deterministic")
    require_close(together, alone, f"{what} in a batch must equal {what} one by one")
    return together


def check_gradients(module: nn.Module, result: Tensor, unread: Iterable[str] = ()) -> None:
    """Gradients reach every parameter but those that the part declares unread."""
    parameters = dict(module.named_parameters())
    if not parameters:
        return
    gradients = torch.autograd.grad(result.float().square().sum(), [*parameters.values()], allow_unused=True)
    silent = {name for name, gradient in zip(parameters, gradients, strict=True) if gradient is None}
    left, wrong = sorted(silent - set(unread)), sorted(set(unread) - silent)
    require(not left, f"gradients must reach every parameter, or `unread` must name it: none reaches {left[:5]}")
    require(not wrong, f"`unread` must name only parameters without a gradient: one reaches {wrong[:5]}")


def check_bare(build: Callable[[], nn.Module], full: nn.Module) -> None:
    """The bare architecture has the same parameters, and takes no memory on the meta device."""
    with torch.device("meta"):
        bare = build()
    require(all(p.is_meta for p in bare.parameters()), "weights=False must build on the device of the context (meta)")
    shapes = [{name: p.shape for name, p in module.named_parameters()} for module in (bare, full)]
    require(shapes[0] == shapes[1], "weights=False must build the same parameters as weights=True")


def check_strict_loading(config: PartConfig, build: Callable[[Any], nn.Module]) -> None:
    """A checkpoint that lacks tensors, or has some too many, is refused."""
    folder = hub.locate(config.checkpoint, config.revision)
    for file in weight_files(folder):
        for damage, keep, add in (("lacks tensors", 1, {}), ("has too many", None, {"surplus": torch.zeros(1)})):
            with tempfile.TemporaryDirectory() as place:
                copy = Path(shutil.copytree(folder, Path(place) / "copy"))
                tensors = dict(sorted(load_file(file).items())[:keep]) | add
                save_file(tensors, copy / file.relative_to(folder), metadata={"format": "pt"})
                try:
                    build(config.replace(checkpoint=str(copy), revision=None))
                except PartError:
                    continue
            raise AssertionError(f"a checkpoint whose {file.name} {damage} must be refused with a PartError")
