"""The benchmarks by name, with their options, and what each tells about itself."""

import pkgutil
import re
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, TypeVar

from pydantic import ValidationError

from modalink.errors import OptionError, RecipeError, UnknownNameError, shown
from modalink.kinds import Settings
from modalink.scoring import benchmarks
from modalink.scoring.benchmark import AskingBenchmark, Benchmark, BenchmarkOptions, MediaBenchmark, ScoreOptions

_Settings = TypeVar("_Settings", bound=Settings)

GROUP = benchmarks.__name__
"""Entry points of benchmarks of other packages: name -> `module:attribute`, a `Benchmark`."""


@cache
def all_benchmarks() -> dict[str, Benchmark]:
    """Name -> benchmark: the tables of all files in `benchmarks/`, and what other packages bring.

    Raises:
        RecipeError: Two benchmarks have one name, or a plug-in is none.
    """
    tables = [import_module(f"{GROUP}.{m.name}").BENCHMARKS for m in pkgutil.iter_modules(benchmarks.__path__)]
    tables += [{point.name: point.load()} for point in entry_points(group=GROUP)]
    by_name: dict[str, Benchmark] = {}
    for name, benchmark in (entry for table in tables for entry in table.items()):
        if name in by_name:
            raise RecipeError(f"found two benchmarks with the name {name!r}; rename the plug-in's")
        if not isinstance(benchmark, Benchmark):
            raise RecipeError(f"plug-in benchmark {name}: found {type(benchmark).__name__}, needed a Benchmark")
        by_name[name] = benchmark
    return by_name


def names() -> list[str]:
    """The names of all benchmarks."""
    return sorted(all_benchmarks())


def load(name: str) -> tuple[str, Benchmark]:
    """A benchmark with its name, by that name or an alias, whatever the case and the hyphens.

    Raises:
        UnknownNameError: There is none.
    """
    plain = _plain(name)
    for known, benchmark in all_benchmarks().items():
        if plain in map(_plain, (known, *benchmark.aliases)):
            return known, benchmark
    raise UnknownNameError("benchmark", name, names())


def _plain(name: str) -> str:
    return re.sub(r"[-_ ]", "", name.lower())


def options_of(benchmark: Benchmark, given: dict[str, Any]) -> ScoreOptions:
    """The options of a benchmark, checked; see `checked`."""
    for name in BenchmarkOptions.model_fields.keys() & given.keys() - benchmark.options.model_fields.keys():
        raise OptionError(
            f"option {name}{' (--partial)' if name == 'missing' else ''}: {benchmark.title} compares whole sets, in "
            "which no prediction answers a question"
        )
    return checked(benchmark.options, benchmark.title, given)


def checked(options: type[_Settings], title: str, given: Mapping[str, Any]) -> _Settings:
    """The options that a user gave a benchmark.

    Raises:
        UnknownNameError: It has no option of a name.
        OptionError: An option has a value that it cannot have.
    """
    known = options.model_fields
    for key in given:
        if key not in known:
            raise UnknownNameError(f"option of {title}", key, known)
    try:
        return options.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise OptionError(f"option {name}: found {shown(first['input'])}; {first['msg']}") from error


def catalogue() -> list[dict[str, str]]:
    """What every benchmark tells about itself: name, title, unit, rule, source, formats, data, options and defaults."""
    return [{"name": name, **_described(benchmark)} for name, benchmark in sorted(all_benchmarks().items())]


def _described(benchmark: Benchmark) -> dict[str, str]:
    own = {
        name: info for name, info in benchmark.options.model_fields.items() if name not in BenchmarkOptions.model_fields
    }
    options = (f"{name}={info.default}" for name, info in own.items())
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
    if not isinstance(benchmark, AskingBenchmark):
        return "not for a model: it compares two sets"
    setup = benchmark.setup
    if setup.why_not_asked:
        return f"not for a model: {setup.why_not_asked}"
    if setup.generated:
        return "none: it makes its questions itself"
    files = (*setup.files[:1], *setup.option_files.values())
    if isinstance(benchmark, MediaBenchmark):
        real = f", and for a distance real {setup.modality}, found by name" if "encoder" in benchmark.needs else ""
        return f"{' and '.join(files)}{real}; it asks for {setup.modality}"
    return f"{' and '.join(files) or 'annotations by --annotations'}, {setup.modality} files by their names"
