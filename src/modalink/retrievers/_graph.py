"""Approximate search: a graph of near vectors that is walked towards a query, by the package `usearch`.

Source: hierarchical navigable small worlds (Malkov and Yashunin, arXiv 1603.09320). The graph is made when an index is
first searched so, and lies in its folder; it says who is near, and how near is computed exactly.
"""

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from modalink import files
from modalink.errors import MissingExtraError
from modalink.retrievers._index import Index

CONNECTIVITY = 16
"""Neighbours that a vector keeps in each layer of the graph."""
EXPANSION = 128
"""Vectors that are looked at to place a new one."""


@runtime_checkable
class Graph(Protocol):
    """Tells which vectors lie near to one, most of them."""

    def nearest(self, vector: Float[np.ndarray, " d"], count: int) -> Int[np.ndarray, " n"]:
        """The places of about the `count` nearest vectors, in any order, none twice; of all where it is as many."""


class UsearchGraph:
    """The graph of an index's vectors.

    Args:
        index: The index.
        breadth: How many vectors are followed on the walk; more find more of the nearest, and take longer.

    Raises:
        MissingExtraError: usearch is not installed.
    """

    def __init__(self, index: Index, breadth: int) -> None:
        try:
            from usearch.index import Index as Usearch
        except ImportError as error:
            raise MissingExtraError("approximate search (approximate: true)", "usearch", "approximate") from error
        vectors = index.vectors[0].numpy()
        self._count = len(vectors)
        stem = f"graph-{index.vectors_sha256[:16]}"
        if (kept := _kept(index.folder, stem)) is not None:
            self._graph: Any = Usearch.restore(kept, view=False)
        else:
            self._graph = Usearch(
                ndim=vectors.shape[1], metric="ip", dtype="f32", connectivity=CONNECTIVITY, expansion_add=EXPANSION
            )
            # By one thread, since several place vectors in another order each time.
            self._graph.add(np.arange(self._count), vectors, threads=1)
            _keep(self._graph, index.folder, stem)
        self._graph.expansion_search = breadth

    def nearest(self, vector: Float[np.ndarray, " d"], count: int) -> Int[np.ndarray, " n"]:
        """See `Graph.nearest`."""
        if count >= self._count:
            return np.arange(self._count)
        keys: np.ndarray = self._graph.search(vector, count, threads=1).keys
        return keys.astype(np.int64)


def _kept(folder: Path, stem: str) -> Path | None:
    """The file of a graph that was made before and is whole: its name ends with its hash."""
    for path in sorted(folder.glob(f"{stem}-*.usearch")):
        if files.known_sha256(path).startswith(path.stem.removeprefix(f"{stem}-")):
            return path
        path.unlink(missing_ok=True)
    return None


def _keep(graph: Any, folder: Path, stem: str) -> None:
    """Write a graph; in a folder that cannot be written it is made anew each time."""
    path = folder / f".{stem}.partial"
    try:
        graph.save(path)
        path.replace(folder / f"{stem}-{files.sha256(path)[:16]}.usearch")
    except (OSError, RuntimeError):
        path.unlink(missing_ok=True)
