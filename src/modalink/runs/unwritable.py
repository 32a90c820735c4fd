"""What to say when a file of a run cannot be written: what is in the way, and what to do."""

import errno
from pathlib import Path

from modalink.errors import CheckpointError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_OCCUPIED = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def unwritable(path: Path, error: Exception, note: str = "") -> CheckpointError:
    """The error of something that a run could not write.

    Args:
        path: What it was to be.
        error: What came instead.
        note: What else its reader should know, before the remedy.
    """
    reason = getattr(error, "strerror", None) or str(error)
    return CheckpointError(f"{path}: cannot be written ({reason}); {note and note + '; '}{_remedy(path, error)}")


def _remedy(path: Path, error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number in _FORBIDDEN:
        return "this user may not write there: change that, or choose another run folder"
    if number in _OCCUPIED:
        return f"{_in_the_way(path)} is in the way, which training did not put there: move it away and start again"
    if number == errno.ENOENT and not path.parent.exists():
        missing = next((folder for folder in reversed(path.parents) if not folder.exists()), path.parent)
        return f"{missing} is gone, removed or renamed while training: put it back and start the same command again"
    if number == errno.ENAMETOOLONG:
        return "choose a run folder with a shorter name"
    return "make room and start the same command again"


def _in_the_way(path: Path) -> str:
    """The first thing on the way to a path that is no folder, else what stands at the path or beside it."""
    for folder in reversed(path.parents):
        if folder.exists() and not folder.is_dir():
            return f"the file {folder}"
    for place in (path, path.with_name(f".{path.name}.partial")):
        if place.exists():
            return f"the {'folder' if place.is_dir() else 'file'} {place}"
    return "something"
