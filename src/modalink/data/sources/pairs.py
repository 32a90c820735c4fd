"""Media with captions, to be described or drawn: a folder with a table, a folder with texts beside, or tar shards."""

import random
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from modalink import files, modalities
from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.data.pairing import FolderPairs, Pair, Pairs, ShardPairs, TablePairs
from modalink.data.records import SUFFIXES, naming, open_records
from modalink.data.shards import index_shards
from modalink.data.source import Numbered, SourceConfig, files_of, find_files
from modalink.errors import DataError


class PairsConfig(SourceConfig):
    """Settings of caption data."""

    kind: Literal["pairs"] = "pairs"
    path: str
    """Folder of media; or tar shards: a file, a folder of `.tar` files, or a pattern."""
    captions: str | None = None
    """Table (csv, tsv, jsonl, json, parquet), sought in the folder first; None: each medium has a `.txt` beside it."""
    media_column: str | None = None
    """Column of the media's paths, relative to the folder; by default the modality's name."""
    caption_column: str = "caption"
    """Column of the captions; in shards, the key in `.json` members."""
    modality: str = modalities.DEFAULT
    """What the media are."""
    direction: Literal["caption", "draw", "both"] = "caption"
    """Describe the medium, make it from the caption, or (twice as many samples) each."""
    prompts: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Requests to describe, by default the modality's; one is chosen for each sample. `{modality}` is filled in."""
    requests: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Requests to make the medium, by default the modality's; `{caption}` and `{modality}` are filled in."""
    seed: int = 0
    """Decides which request a sample gets."""

    def files(self) -> list[Path]:
        """Media with their texts, and the table."""
        folder = files.named(self.path, DataError)
        table = [] if self.captions is None else [folder / self.captions, Path(self.captions)]
        return [*(path for path in table if path.is_file()), *files_of(self.path)]

    def open(self) -> "PairSource":
        """Find the pairs."""
        pairs = self._pairs()
        if not len(pairs):
            raise DataError(f"{self.path}: looked for pairs of {self.modality} and caption; found none")
        return PairSource(self, pairs)

    def _pairs(self) -> Pairs:
        folder = files.named(self.path, DataError)
        suffixes = modalities.get(self.modality).suffixes
        if self.captions is not None:
            table = folder / self.captions
            records = open_records(str(table) if table.exists() else self.captions, SUFFIXES)
            return TablePairs(records, folder, self.media_column or self.modality, self.caption_column)
        if not folder.is_dir() or any(folder.glob("*.tar")):
            return ShardPairs(index_shards(find_files(self.path, [".tar"])), suffixes, self.caption_column)
        return FolderPairs(find_files(self.path, suffixes, deep=True), folder)


class PairSource(Numbered):
    """Pairs as conversations of one question and one answer."""

    def __init__(self, config: PairsConfig, pairs: Pairs) -> None:
        self._config = config
        self._pairs = pairs
        record = modalities.get(config.modality)
        self._prompts, self._requests = config.prompts or record.describe, config.requests or record.make

    def __len__(self) -> int:
        return len(self._pairs) * (2 if self._config.direction == "both" else 1)

    def sample(self, index: int) -> Conversation:
        """A pair, described or drawn."""
        direction = self._config.direction
        index, draw = divmod(index, 2) if direction == "both" else (index, direction == "draw")
        pair = self._pairs[index]
        mark = ("#draw" if draw else "#caption") if direction == "both" else ""
        with naming(pair.id + mark, "no_caption"):
            return self._draw(pair, mark) if draw else self._describe(pair, mark)

    def record(self, index: int) -> dict[str, Any]:
        """The row of the table that a sample comes from; pairs of files and shards have none."""
        number = index // 2 if self._config.direction == "both" else index
        return self._pairs.record(number) if isinstance(self._pairs, TablePairs) else {}

    def _describe(self, pair: Pair, mark: str) -> Conversation:
        prompt = self._chosen(self._prompts, pair)
        asked = Turn("user", (Medium(self._config.modality, pair.source), Text(f"\n{prompt}")))
        return Conversation((asked, Turn("assistant", (Text(pair.caption),))), pair.id + mark)

    def _draw(self, pair: Pair, mark: str) -> Conversation:
        asked = Turn("user", (Text(self._chosen(self._requests, pair)),))
        drawn = Medium(self._config.modality, pair.source, pair.caption)
        return Conversation((asked, Turn("assistant", (drawn,))), pair.id + mark)

    def _chosen(self, texts: tuple[str, ...], pair: Pair) -> str:
        # A file's name need be no text: what cannot be decoded in it stands there as half a surrogate pair.
        seed = f"{self._config.seed}/{pair.id}".encode("utf-8", "surrogatepass")
        text = random.Random(seed).choice(texts)
        return text.replace("{modality}", self._config.modality).replace("{caption}", pair.caption)
