"""Where a checkpoint's files are: `zoo:NAME` in the package, a local folder, or a snapshot of a hub repository."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME

from modalink import files, json_files, tensor_files, zoo
from modalink.errors import PartError
from modalink.hub import papers
from modalink.hub.causes import first_line
from modalink.hub.papers import PAPERS, WEIGHTS

# Half-precision twins, single-file copies and other formats double a download that nothing reads.
_NEVER = ("*.fp16.*", "*non_ema*", "*.msgpack", "*onnx*", "*openvino*", "original/*", "safety_checker/*")

FETCHING = frozenset({"token", "cache_dir", "force_download", "local_files_only"})
"""Options of `fetching`."""
_options: ContextVar[tuple[tuple[str, Any], ...]] = ContextVar("_options", default=())


@contextmanager
def fetching(**options: Any) -> Iterator[None]:
    """Read the hub with other options than the client's own, for all that is located inside.

    Args:
        options: `token`, `cache_dir`, `force_download`, `local_files_only`, as for `huggingface_hub.snapshot_download`.
    """
    if options.get("force_download"):
        _snapshot.cache_clear()
        _pieces.cache_clear()
    before = _options.set(tuple(sorted(options.items())))
    try:
        yield
    finally:
        _options.reset(before)


def locate(reference: str, revision: str | None = None, *, weights: bool = True) -> Path:
    """The folder that holds a checkpoint, fetched from the hub if it must be.

    Args:
        reference: `zoo:NAME`, a local folder, or a hub id such as `openai/clip-vit-large-patch14`.
        revision: Commit or tag of a hub id; other references have none.
        weights: Whether the weights are needed, or only configuration and tokenizer files.

    Raises:
        PartError: Nothing is there, or the hub cannot be reached or refuses; or a file of it leads out of the folder or
            is damaged, see `papers.check`.
    """
    if not is_hub_id(reference):
        if revision is not None:
            raise PartError(f"{reference}: only hub checkpoints have a revision, found {revision!r}; remove it")
        if reference.startswith("zoo:"):
            return zoo.path(reference.removeprefix("zoo:"))
    folder = _snapshot(reference, revision, weights, _options.get()) if is_hub_id(reference) else _folder(reference)
    papers.check(folder, reference)
    return folder


def piece_files(reference: str, names: Iterable[str], revision: str | None = None) -> list[Path]:
    """The weight files of a checkpoint that hold tensors of some names, fetched from the hub if they must be.

    Of a checkpoint in several files whose index says where each tensor is, no other file is fetched or given.

    Args:
        reference: A local folder, or a hub id.
        names: Patterns of the beginning of the tensors' names.
        revision: Commit or tag of a hub id.

    Raises:
        PartError: As of `locate`, or the index names a file outside of the folder.
    """
    folder = locate(reference, revision, weights=False)
    index = folder / SAFE_WEIGHTS_INDEX_NAME
    if not index.is_file():
        return weight_files(locate(reference, revision))
    places: tensor_files.Index = json_files.read(index, PartError, tensor_files.Index)
    patterns = [re.compile(pattern) for pattern in names]
    wanted = sorted({file for name, file in places.weight_map.items() if any(p.match(name) for p in patterns)})
    if wanted and is_hub_id(reference):
        # The commit of the index: the branch may have moved since.
        folder = _pieces(reference, folder.name, tuple(wanted), _options.get())
        papers.check(folder, reference)
    return [files.inside(folder, name, PartError) for name in wanted]


def is_hub_id(reference: str) -> bool:
    """Whether a reference names a hub repository: `name` or `owner/name`, and no such folder exists."""
    path = files.named(reference, PartError)
    local = reference.startswith(("zoo:", ".", "/", "~")) or reference.count("/") > 1 or "\\" in reference
    return not local and not path.is_dir()


def weight_files(folder: Path) -> list[Path]:
    """All weight files under a folder, sorted, of the better format that is there."""
    found = (sorted(folder.rglob(pattern)) for pattern in WEIGHTS)
    return next((files for files in found if files), [])


def checkpoint_files(folder: Path) -> list[Path]:
    """All files under a checkpoint's folder that are read of it: what describes it, and its weights."""
    described = {path for pattern in PAPERS for path in folder.rglob(pattern) if path.is_file()}
    return sorted(described | {*weight_files(folder)})


def _folder(reference: str) -> Path:
    folder = files.named(reference, PartError)
    if not folder.is_dir():
        raise PartError(
            f"{reference}: no such folder; give a folder with config.json, zoo:NAME, or a hub id OWNER/NAME"
        )
    return folder


@cache
def _snapshot(repo: str, revision: str | None, weights: bool, options: tuple[tuple[str, Any], ...]) -> Path:
    folder = _fetch(repo, revision, PAPERS, options)
    if not weights:
        return folder
    # A pipeline keeps its weights in subfolders; what lies beside model_index.json are single-file copies of them.
    prefix = "*/" if (folder / "model_index.json").is_file() else ""
    for pattern in WEIGHTS:
        folder = _fetch(repo, revision, (*PAPERS, prefix + pattern), options)
        if weight_files(folder):
            return folder
    raise PartError(f"{repo}: found no weights ({' or '.join(WEIGHTS)}) on the hub or in the local cache; {_REMEDY}")


@cache
def _pieces(repo: str, commit: str, names: tuple[str, ...], options: tuple[tuple[str, Any], ...]) -> Path:
    return _fetch(repo, commit, names, options)


_REMEDY = "connect to the network once, or give a local folder or zoo:NAME instead"


def _fetch(repo: str, revision: str | None, patterns: tuple[str, ...], options: tuple[tuple[str, Any], ...]) -> Path:
    where = repo if revision is None else f"{repo} at revision {revision!r}"
    try:
        chosen: dict[str, Any] = {"allow_patterns": [*patterns], "ignore_patterns": [*_NEVER]}
        return Path(snapshot_download(repo, revision=revision, **(chosen | dict(options))))
    except GatedRepoError:
        cause = "the hub asks for its licence to be accepted; accept it on the model's page and run `hf auth login`"
    except RepositoryNotFoundError:
        cause = "the hub has no such repository, or you have no access to it; check the name, or run `hf auth login`"
    except RevisionNotFoundError:
        cause = "the hub has no such revision; check it, or leave it out"
    except HFValidationError:
        cause = "this is neither a folder nor a hub id OWNER/NAME; check the name"
    except LocalEntryNotFoundError:
        cause = f"it is not in the local cache, and the hub was not reached (offline, or no network); {_REMEDY}"
    except Exception as error:  # whatever the client's network stack raises, which changed between its versions
        cause = (
            f"the hub could not be read ({first_line(error)}); try again, or give a local folder or zoo:NAME instead"
        )
    raise PartError(f"{where}: {cause}")
