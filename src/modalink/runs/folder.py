"""The run folder: made for one recipe, opened again only for the same."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modalink import files
from modalink.errors import CheckpointError, RecipeError, shown
from modalink.recipe import Recipe, load
from modalink.runs.unwritable import unwritable

RECIPE, MODEL = "recipe.yaml", "model"


def open_run(run: Path, recipe: Recipe) -> bool:
    """Make a run folder, or check that it belongs to this recipe.

    Returns:
        Whether it was there before.

    Raises:
        CheckpointError: The folder is no run, is another recipe's run, or cannot be made.
    """
    _check_name(run)
    if (run / RECIPE).exists():
        _check_same(run, recipe)
        return True
    if run.exists():
        _check_empty(run)
    write_text(run / RECIPE, recipe.to_yaml())
    return False


@contextmanager
def locked(run: Path) -> Iterator[Callable[[], None]]:
    """Keep other processes from training in this run folder.

    Yields:
        Raises `CheckpointError` when the folder has been removed or renamed since.

    Raises:
        CheckpointError: Another process is training in it.
    """
    busy = f"{run}: another process is training in this run folder; wait for its end, or choose another folder"
    with (run / RECIPE).open() as file:
        files.lock(file, CheckpointError(busy))
        ours = os.fstat(file.fileno())

        def check() -> None:
            try:
                same = os.path.samestat(ours, (run / RECIPE).stat())
            except OSError:
                same = False
            if not same:
                raise CheckpointError(
                    f"{run} is gone: this run folder was removed or renamed while training; put it back and start the "
                    "same command again"
                )

        yield check


def read_recipe(run: Path) -> Recipe:
    """The recipe that a run folder was made for.

    Raises:
        CheckpointError: The run's file is damaged.
    """
    try:
        return load(run)
    except RecipeError as error:
        raise CheckpointError(
            f"{run / RECIPE}: this file of the run is damaged, or of another modalink; restore it, or choose another "
            f"run folder: {error}"
        ) from None


def write_text(path: Path, text: str) -> None:
    """Write a small file, whole or not at all.

    Raises:
        CheckpointError: It cannot be written.
    """
    try:
        files.write(path, text)
    except OSError as error:
        raise unwritable(path, error) from error


def write_json(path: Path, data: Any) -> None:
    """Write data as JSON, whole or not at all.

    Raises:
        CheckpointError: It cannot be written.
    """
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def differences(before: Any, now: Any, place: str = "") -> dict[str, tuple[Any, Any]]:
    """Where two trees of data differ: dotted place -> (before, now)."""
    if isinstance(before, list) and isinstance(now, list):
        before, now = dict(enumerate(before)), dict(enumerate(now))
    if not isinstance(before, Mapping) or not isinstance(now, Mapping):
        return {} if before == now else {place: (before, now)}
    found: dict[str, tuple[Any, Any]] = {}
    for key in {**before, **now}:
        inner = f"{place}.{key}" if place else str(key)
        if key in before and key in now:
            found |= differences(before[key], now[key], inner)
        else:
            found[inner] = (before.get(key, "absent"), now.get(key, "absent"))
    return found


def _check_same(run: Path, recipe: Recipe) -> None:
    # Compared as they are read, not as they are written: a key that has come since has its default in both.
    changed = differences(read_recipe(run).to_dict(), recipe.to_dict())
    if changed:
        lines = "".join(
            f"\n  {key}: the run has {shown(old)}, the recipe {shown(new)}" for key, (old, new) in changed.items()
        )
        raise CheckpointError(
            f"{run} holds a run of another recipe; they differ in{lines}\n"
            "give the same recipe to go on with this run, or another run folder to begin a new one"
        )


def _check_name(run: Path) -> None:
    try:
        str(run).encode()
        run.lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except ValueError:  # half a surrogate pair, or a null byte
        raise CheckpointError(f"found the run folder {str(run)!a}, needed a name in UTF-8") from None
    except OSError as error:
        raise unwritable(run, error) from None
    if (run / RECIPE).is_dir():
        raise CheckpointError(f"{run / RECIPE}: found a folder, needed a run's recipe; choose another run folder")


def _check_empty(run: Path) -> None:
    if not run.is_dir():
        raise CheckpointError(f"{run}: found a file, needed a folder; choose another run folder")
    found = sorted(path.name for path in run.iterdir() if path.name != f".{RECIPE}.partial")
    if found:
        some = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
        raise CheckpointError(
            f"{run}: found {len(found)} files ({some}) and no {RECIPE}; "
            "needed an empty folder or one that training made; choose another run folder"
        )
