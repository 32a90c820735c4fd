"""Every test runs on the CPU, without a network, and from known random states.

What imports the package stands in functions: the process that only hands out tests starts at once.
"""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import csv
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.typecheck import check_annotations

if TYPE_CHECKING:
    from modalink.model import System

check_annotations("modalink")
FIXTURES = ("plug_in", "plugged_modality", "tiny_run", "chat_server", "preferred", "made_media")
CACHES = itertools.count()
Write = Callable[[str, Any], Path]


def pytest_configure(config: pytest.Config) -> None:
    """Fixtures that import the package, in every process that runs tests."""
    only_hands_out = getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput")
    for name in () if only_hands_out else FIXTURES:
        config.pluginmanager.import_plugin(f"tests.support.{name}")


@pytest.fixture(scope="session", autouse=True)
def _known_precision() -> Iterator[None]:
    """`precision: auto` is float32 on every CPU: no step is timed to choose, and no number hangs on what a CPU can do."""
    from modalink.model import precision

    multiplies = precision.multiplies_bfloat16
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "multiplies_bfloat16", lambda device: device.type != "cpu" and multiplies(device))
        yield


@pytest.fixture(autouse=True)
def _known_random_state() -> None:
    import torch

    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _known_threads() -> Iterator[None]:
    """No test leaves its number of threads to the next: the last bits of a step hang on it."""
    import torch

    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads the user's settings, or what another test has computed."""
    base = tmp_path_factory.getbasetemp()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(base / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(base / "state"))
    # Not by `mktemp`, which looks through all folders there are, of thousands of tests, to number the next one.
    cache = base / "caches" / str(next(CACHES))
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    # What is found out about other libraries holds for all tests: processes that one starts need not find it out again.
    (base / "probes").mkdir(exist_ok=True)
    cache.mkdir(parents=True)
    (cache / "probes").symlink_to(base / "probes")


@pytest.fixture(scope="session")
def make_reader() -> "Callable[..., System]":
    """Composes a system of tiny random parts in a folder: image in, text out, all of it nonsense."""
    from tests.support.little_recipes import system_of, vision

    def make(folder: Path, projector: str = "mlp") -> "System":
        return system_of(folder, {"image": {"encoder": vision(folder), "projector": {"kind": projector}}})

    return make


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write data under a name, in the format that the suffix tells."""

    def to(name: str, data: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(data, str):
            path.write_text(data, encoding="utf-8")
        elif path.suffix == ".jsonl":
            path.write_text("".join(f"{json.dumps(row)}\n" for row in data), encoding="utf-8")
        elif path.suffix in (".csv", ".tsv"):
            with path.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",").writerows(data)
        else:
            path.write_text(json.dumps(data), encoding="utf-8")
        return path

    return to
