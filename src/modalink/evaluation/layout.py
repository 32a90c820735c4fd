"""Where a benchmark's files are in a folder of data: one rule for all, since downloads differ in their folders only.

Annotations are found by their official names, in the folder or anywhere below. A medium is the file that its
question names: under that path, or else anywhere below by its name, with or without suffix.
"""

import os
import re
from collections import defaultdict
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

from modalink.errors import DataError, OptionError
from modalink.scoring.benchmark import AskingBenchmark

_NUMBERED = re.compile(r"(?:.*_)?(\d{12})")
"""COCO's names: the number of the image in twelve digits, after the split or alone."""


class DataFolder:
    """A folder of data; it is looked through once, when something is first asked for.

    Args:
        path: The folder.

    Raises:
        DataError: There is no such folder.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise DataError(f"{path}: no such folder, needed the benchmark's annotations and media in it")
        self.path = path

    @cached_property
    def files(self) -> list[Path]:
        """All files below, hidden ones left out, in a fixed order."""
        matches = []
        for folder, folders, names in os.walk(self.path, followlinks=True):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            matches += [Path(folder, name) for name in sorted(names) if not name.startswith(".")]
        return matches

    @cached_property
    def _index(self) -> dict[str, list[Path]]:
        """Files by folder and name, by name, by name without suffix, and by COCO's number."""
        index: dict[str, list[Path]] = defaultdict(list)
        for path in self.files:
            keys = {path.name, path.stem, f"{path.parent.name}/{path.name}", f"{path.parent.name}/{path.stem}"}
            if match := _NUMBERED.fullmatch(path.stem):
                keys.add(str(int(match[1])))
            for key in keys:
                index[key].append(path)
        return index

    def find(self, patterns: tuple[str, ...], split: str = "") -> list[Path]:
        """The files that have a name of the first pattern that any has, of one split if it is named."""
        for pattern in patterns:
            matches = [
                path for path in self.files if fnmatchcase(path.name, pattern) and _is_of(path, self.path, split)
            ]
            if matches:
                return matches
        return []

    def medium(self, name: str, suffixes: tuple[str, ...]) -> Path | None:
        """The file that a question names, None where there is none.

        Args:
            name: What the annotations call it: a path, a name with or without suffix, or COCO's number.
            suffixes: Suffixes of the modality: files of other kinds are not taken for a name without suffix.

        Raises:
            DataError: Several files have that name.
        """
        wanted = Path(name)
        # What annotations say must not lead out of the folder; a link in it is the user's own.
        inside = not wanted.is_absolute() and ".." not in wanted.parts and len(name) < 1000 and "\0" not in name
        if inside and (path := self.path / wanted).is_file():
            return path
        for key in (f"{wanted.parent.name}/{wanted.name}", wanted.name):
            matches = [p for p in self._index.get(key, ()) if p.name == wanted.name or p.suffix.lower() in suffixes]
            followed = [path for path in matches if _follows(path.parts, wanted.parts)]
            if matches := followed or matches:
                break
        if len(matches) > 1:
            raise DataError(
                f"{self.path}: found several files that could be {name!r}: {', '.join(map(str, matches[:3]))}; "
                "give --data a folder that holds one of them, and --annotations FILE"
            )
        return matches[0] if matches else None


def _is_of(path: Path, root: Path, split: str) -> bool:
    return any(split in part for part in path.relative_to(root).parts)


def _follows(parts: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    """Whether all folders that are wanted are among the folders of a path, in that order."""
    folders = iter(parts[:-1])
    return all(part in folders for part in wanted[:-1])


def _holders(files: list[Path], top: Path, depth: int) -> list[Path]:
    """The folders that hold these files, so many folders above each; none that is not of the folder of data."""
    return sorted({path.parents[depth] for path in files if len(path.relative_to(top).parts) > depth})


def find_annotations(benchmark: AskingBenchmark, folder: DataFolder, split: str = "") -> Path:
    """The annotation file of a benchmark in its folder of data, or the folder of its annotation files.

    Raises:
        DataError: There is none, or there are several.
    """
    setup = benchmark.setup
    paths = folder.find(setup.files, split)
    # One split of several files is one of the files, unless each split is a folder.
    if setup.folder and (setup.depth or not split):
        paths = _holders(paths, folder.path, setup.depth)
    if len(paths) == 1:
        return paths[0]
    if not setup.files:
        raise DataError(
            f"{benchmark.title} has no official file to look for: needed --annotations FILE with "
            f"{benchmark.annotations}"
        )
    of = f" of the split {split!r}" if split else ""
    if not paths:
        names = " or ".join(setup.files)
        raise DataError(
            f"{folder.path}: found no annotations of {benchmark.title}{of}, needed {names} in it or in a folder "
            f"below; or --annotations FILE: {benchmark.annotations}"
        )
    raise DataError(
        f"{folder.path}: found several annotations of {benchmark.title}{of}: {', '.join(map(str, paths[:4]))}; choose "
        "one with --split or --annotations"
    )


def find_option_files(
    benchmark: AskingBenchmark, folder: DataFolder, given: dict[str, Any], split: str = ""
) -> dict[str, Path]:
    """The files that options name and the user did not give, where the folder has just one of their official name.

    Raises:
        OptionError: It has several.
    """
    matches: dict[str, Path] = {}
    for option, pattern in benchmark.setup.option_files.items():
        paths = [] if option in given else folder.find((pattern,), split)
        if len(paths) > 1:
            several = ", ".join(map(str, paths[:4]))
            raise OptionError(
                f"{folder.path}: found several files {pattern}: {several}; choose one with --split, or "
                f"--option {option}=FILE"
            )
        matches.update((option, path) for path in paths)
    return matches
