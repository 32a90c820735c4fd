"""LLaVA's own format: one JSON file (or lines) of conversations with `<image>` markers, and a folder of images."""

from functools import partial
from typing import Literal

from modalink.data import sharegpt
from modalink.data.records import RecordSource, open_records
from modalink.data.source import SourceConfig, media_folder


class LlavaJsonConfig(SourceConfig):
    """Settings of LLaVA data. Source: github.com/haotian-liu/LLaVA, docs/Finetune_Custom_Data.md."""

    kind: Literal["llava_json"] = "llava_json"
    path: str
    """JSON array or JSON lines: a file, a folder or a pattern."""
    media: str | None = None
    """Folder that the records' paths are relative to; by default the file's own."""

    def open(self) -> RecordSource:
        """Find the records."""
        read = partial(sharegpt.read, folder=media_folder(self.media, self.path))
        return RecordSource(open_records(self.path, (".json", ".jsonl")), read)
