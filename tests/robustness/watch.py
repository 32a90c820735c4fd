"""What a hostile input must not do: escape as another error, take long, take much memory, open files of its own choice."""

import os
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import modalink
from modalink.errors import ModalinkError

SECONDS = 5.0
GIGABYTES = 1.5

_CODE = tuple({os.path.abspath(p) for p in (sys.prefix, sys.base_prefix, Path(modalink.__file__).parent)})
_SYSTEM = ("/dev/null", "/dev/urandom", "/proc/", "/sys/", "/etc/mime.types", "/etc/localtime", "/usr/", "/lib")
_watching: list[tuple[tuple[str, ...], list[str]]] = []


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _watching or not isinstance(arguments[0], str | bytes | Path):
        return
    name = arguments[0].decode(errors="replace") if isinstance(arguments[0], bytes) else str(arguments[0])
    allowed, opened = _watching[-1]
    path = os.path.abspath(name)
    if not path.startswith((*allowed, *_CODE, *_SYSTEM)):
        opened.append(path)


sys.addaudithook(_note)


@contextmanager
def held(*folders: Path) -> Iterator[None]:
    """Let an input do its worst; only errors of modalink may come out, and they are swallowed.

    Args:
        folders: Where files may be opened, beside those of the installed code.
    """
    allowed = tuple(name for folder in folders for name in {str(folder.absolute()), str(folder.resolve())})
    opened: list[str] = []
    before, began = _peak(), time.process_time()
    _watching.append((allowed, opened))
    try:
        yield
    except ModalinkError as error:
        assert str(error), "an error without words"
        str(error).encode()  # what a terminal cannot print is no message
    finally:
        _watching.pop()
    seconds, grown = time.process_time() - began, _peak() - before
    assert seconds < SECONDS, f"took {seconds:.1f} s of a core, needed less than {SECONDS:g}"
    assert grown < GIGABYTES, f"took {grown:.2f} GB more than before, needed less than {GIGABYTES}"
    assert not opened, f"opened files outside the given folders: {_few(opened)}"


def _peak() -> float:
    """The most memory that the process has held, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _few(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names))[:5])
