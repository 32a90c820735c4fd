"""The benchmarks by name, with their options, and what each tells about itself."""

import importlib
import re
from typing import Any

from pydantic import ValidationError

from modalink.errors import OptionError, UnknownNameError
from modalink.kinds import kinds
from modalink.scoring.benchmarks._base import Benchmark, ItemBenchmark, Options

ROOM = "modalink.scoring.benchmarks"


def names() -> list[str]:
    """The names of all benchmarks."""
    return sorted(kinds(ROOM))


def load(name: str) -> tuple[str, Benchmark]:
    """A benchmark by its name or an alias, whatever the case and the hyphens.

    Raises:
        UnknownNameError: There is none.
    """
    plain = _plain(name)
    by_name = {_plain(known): known for known in names()}
    if plain in by_name:
        return by_name[plain], _benchmark(by_name[plain])
    for known in names():
        found = _benchmark(known)
        if plain in map(_plain, found.aliases):
            return known, found
    raise UnknownNameError("benchmark", name, names())


def _plain(name: str) -> str:
    return re.sub(r"[-_ ]", "", name.lower())


def _benchmark(name: str) -> Benchmark:
    module, _, attribute = kinds(ROOM)[name].partition(":")
    found: Benchmark = getattr(importlib.import_module(module), attribute or "benchmark")
    return found


def options_of(benchmark: Benchmark, given: dict[str, Any]) -> Options:
    """The options of a benchmark, checked.

    Raises:
        UnknownNameError: It has no option of a name.
        OptionError: An option has a value that it cannot have.
    """
    known = benchmark.options.model_fields
    for key in given:
        if key not in known:
            raise UnknownNameError(f"option of {benchmark.title}", key, known)
    try:
        return benchmark.options.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise OptionError(f"option {name}: found {first['input']!r:.60}; {first['msg']}") from error


def catalogue() -> list[dict[str, str]]:
    """What every benchmark tells about itself: name, title, unit, rule, source, formats, data, options and defaults."""
    return [{"name": name, **_described(_benchmark(name))} for name in names()]


def _described(benchmark: Benchmark) -> dict[str, str]:
    common = ("id_field", "reply_field", "missing", "replicates")
    options = (f"{name}={info.default}" for name, info in benchmark.options.model_fields.items() if name not in common)
    return {
        "title": benchmark.title,
        "unit": benchmark.unit,
        "rule": benchmark.rule_of(benchmark.options()),
        "source": benchmark.source,
        "annotations": benchmark.annotations,
        "predictions": benchmark.predictions,
        "data": _data(benchmark),
        "options": ", ".join(options) or "none",
    }


def _data(benchmark: Benchmark) -> str:
    """What `modalink evaluate --data` looks for."""
    if not isinstance(benchmark, ItemBenchmark):
        return "not for a model: it compares two sets"
    asking = benchmark.asking
    if asking.instead:
        return f"not for a model: {asking.instead}"
    if asking.made:
        return "none: it makes its questions itself"
    files = (*asking.files[:1], *asking.beside.values())
    return f"{' and '.join(files) or 'annotations by --annotations'}, {asking.modality} files by their names"
