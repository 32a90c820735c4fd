"""A data source of your own: pictures and captions in the table of an SQLite database.

It becomes a source of recipe files by the entry point in `examples/pyproject.toml` (`pip install -e examples`):

    data: [{source: sqlite, path: photos.db}]
"""

import sqlite3
from contextlib import closing
from typing import Literal

from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.data.source import SourceConfig
from modalink.errors import DataError, SampleError


class SqliteConfig(SourceConfig):
    """Settings of SQLite data."""

    kind: Literal["sqlite"] = "sqlite"
    path: str
    """The database; its table `photos` has the columns `picture` (an encoded image) and `caption`."""
    prompt: str = "Describe the image briefly."
    """What is asked of each picture."""

    def open(self) -> "Photos":
        """Find the rows."""
        try:
            return Photos(self)
        except sqlite3.Error as error:
            raise DataError(f"{self.path}: found no table photos(picture, caption): {error}") from error


class Photos:
    """The rows as conversations, by number."""

    def __init__(self, config: SqliteConfig) -> None:
        self.config = config
        self.rows = [row for (row,) in self.query("SELECT rowid FROM photos ORDER BY rowid")]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Conversation:
        name = f"{self.config.path}, row {self.rows[index]}"
        ((picture, caption),) = self.query("SELECT picture, caption FROM photos WHERE rowid = ?", self.rows[index])
        if not caption:
            # Not the end of the run: the stage's ledger gets a line, and the next sample takes the place.
            raise SampleError(name, "no_caption", "found no caption")
        asked = Turn("user", (Medium("image", picture), Text(f"\n{self.config.prompt}")))
        return Conversation((asked, Turn("assistant", (Text(caption),))), id=name)

    def query(self, text: str, *values: int) -> list[tuple]:
        """Rows of a query; several threads read at once, so each query has its own connection."""
        with closing(sqlite3.connect(f"file:{self.config.path}?mode=ro", uri=True)) as database:
            return database.execute(text, values).fetchall()
