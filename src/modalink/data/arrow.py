"""Parquet files and hub data sets, at random or streamed, through the optional package `datasets`."""

import copy
import random
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from modalink.conversation import Conversation
from modalink.errors import DataError, MissingExtraError


class ArrowRecords:
    """The rows of a memory-mapped data set, media undecoded."""

    def __init__(self, dataset: Any, name: str) -> None:
        self._rows = dataset.with_format("arrow")
        self._features = _undecoded(dataset.features)
        self._name = name

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row: dict[str, Any] = self._features.decode_example(self._rows[index].to_pylist()[0])
        return row

    def where(self, index: int) -> str:
        """Data set and row, from 0."""
        return f"{self._name}[{index}]"


class RecordStream:
    """A streamed data set, endless, shuffled within windows; its place can be told and taken up exactly.

    The shuffle of `datasets` itself forgets its buffer when a place is taken up again; here a window is a block that is
    read whole, so that a place is the block's start and a number in it.

    Args:
        dataset: A `datasets.IterableDataset`.
        convert: Reads a record, given its place, as a conversation.
        name: What errors call the stream.
        window: How many records are shuffled at a time; 1 keeps the order.
        seed: Decides the order within the windows.
    """

    def __init__(
        self, dataset: Any, convert: Callable[[dict[str, Any], str], Conversation], name: str, window: int, seed: int
    ) -> None:
        self._dataset = dataset
        self._features = _undecoded(dataset.features) if dataset.features else None
        self._convert = convert
        self._name = name
        self._window = window
        self._seed = seed
        self._block: list[tuple[int, dict[str, Any]]] = []
        self._place = 0
        self._begin({"pass": 0, "first": 0, "dataset": None})

    def __next__(self) -> tuple[int, dict[str, Any]]:
        """Number in the pass, and the raw record."""
        if self._place == len(self._block):
            self._begin(self._after)
        record = self._block[self._place]
        self._place += 1
        return record

    def conversation(self, record: tuple[int, dict[str, Any]]) -> Conversation:
        """A record as a conversation."""
        number, values = record
        if self._features is not None:
            values = self._features.decode_example(values)
        return self._convert(values, f"{self._name}[{number}]")

    def state_dict(self) -> dict[str, Any]:
        """Start of the window, and the place in it."""
        return {"window": self._start, "place": self._place}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Read the window anew and go to the place in it."""
        self._begin(state["window"])
        self._place = state["place"]

    def _begin(self, start: dict[str, Any]) -> None:
        self._start = start
        copied = self._dataset.decode(False)  # a copy: a place that was taken up sticks to a data set for good
        if start["dataset"] is not None:
            copied.load_state_dict(copy.deepcopy(start["dataset"]))
        rows = self._rows(copied)
        block = list(enumerate(islice(rows, self._window), start["first"]))
        if not block and start["first"] == 0:
            raise DataError(f"{self._name}: looked for records in the stream; found none")
        if not block:
            self._begin({"pass": start["pass"] + 1, "first": 0, "dataset": None})
            return
        random.Random(f"{self._seed}/{start['pass']}/{start['first']}").shuffle(block)
        self._block, self._place = block, 0
        self._after = {**start, "first": start["first"] + len(block), "dataset": copied.state_dict()}

    def _rows(self, dataset: Any) -> Iterator[dict[str, Any]]:
        try:
            yield from dataset
        except (OSError, ValueError) as error:
            raise DataError(f"{self._name}: the stream breaks: {error}") from error


def parquet_records(path: Path) -> ArrowRecords:
    """The rows of one parquet file."""
    package = _datasets("reading parquet")
    return ArrowRecords(_tried(str(path), lambda: package.Dataset.from_parquet(str(path))), str(path))


def load_dataset(name: str, *, subset: str | None, split: str, revision: str | None, streaming: bool) -> Any:
    """A data set of the hub, or of a local folder, with a clear error where it cannot be had.

    Raises:
        DataError: There is no such data set or split, or no network.
        MissingExtraError: `datasets` is not installed.
    """
    package = _datasets("reading hub data sets")
    return _tried(name, lambda: package.load_dataset(name, subset, split=split, revision=revision, streaming=streaming))


def _datasets(purpose: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError(purpose, "datasets", "data") from error
    return datasets


def _tried(name: str, load: Callable[[], Any]) -> Any:
    package = _datasets("reading data sets")
    try:
        return load()
    except (OSError, ValueError, package.exceptions.DatasetsError) as error:
        raise DataError(f"{name}: cannot be loaded as a data set: {error}") from error


def _undecoded(features: Any) -> Any:
    return _datasets("reading data sets").Features({name: _raw(feature) for name, feature in features.items()})


def _raw(feature: Any) -> Any:
    """The feature with media left as bytes or paths: decoding belongs to the modality, which checks."""
    if isinstance(feature, dict):
        return {name: _raw(inner) for name, inner in feature.items()}
    feature = copy.copy(feature)
    if type(feature).__name__ in ("Image", "Audio", "Video"):
        feature.decode = False
    elif hasattr(feature, "feature"):
        feature.feature = _raw(feature.feature)
    return feature
