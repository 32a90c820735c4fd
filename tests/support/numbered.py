"""A source whose conversations say their number, and loaders of such sources."""

from itertools import islice
from typing import Any, Literal

from modalink.conversation import Conversation, Text, Turn
from modalink.data.loader import Loader
from modalink.data.source import SourceConfig
from modalink.errors import SampleError


class NumbersConfig(SourceConfig):
    """Conversations that say their number; some are bad."""

    kind: Literal["numbers"] = "numbers"
    path: str = "a"
    size: int
    bad: tuple[int, ...] = ()

    def open(self) -> Any:
        return Numbers(self)


class Numbers:
    def __init__(self, config):
        self.config = config

    def __len__(self):
        return self.config.size

    def __getitem__(self, index):
        name = f"{self.config.path}{index}"
        if index in self.config.bad:
            raise SampleError(name, "bad_record", "of no use")
        return Conversation((Turn("user", (Text("q"),)), Turn("assistant", (Text(name),))), name)


def loader(configs, prepare, ledger, mixture="concatenate", seed=0, batch=4, on_bad="skip", workers=0, draws=False):
    return Loader(configs, mixture, seed, prepare, ledger, on_bad, batch, workers=workers, draws=draws)


def ids(batches):
    return [[sample.id for sample in batch] for batch in batches]


def run(source, steps):
    return ids(islice(source, steps))


THREE = {
    "concatenate": [NumbersConfig(path="a", size=9), NumbersConfig(path="b", size=2), NumbersConfig(path="c", size=7)],
    "ratio": [
        NumbersConfig(path="a", size=9, weight=3.0),
        NumbersConfig(path="b", size=2, weight=0.5),
        NumbersConfig(path="c", size=7, weight=1.0),
    ],
    "sqrt": [NumbersConfig(path="a", size=9), NumbersConfig(path="b", size=1), NumbersConfig(path="c", size=4)],
}


def with_bad(configs):
    return [config.replace(bad=(0, 3, 8)) if config.path != "b" else config for config in configs]


def shares(configs, prepare, ledgers, world, workers=0, draws=False):
    """The loaders of processes that share the batches."""
    return [
        Loader(
            configs, "concatenate", 0, prepare, ledger, "skip", 6, workers=workers, rank=rank, world=world, draws=draws
        )
        for rank, ledger in zip(range(world), ledgers, strict=True)
    ]
