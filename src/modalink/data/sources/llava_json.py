"""LLaVA's own format, one of those that `messages` recognises: conversations with `<image>` markers, and images."""

from functools import partial
from typing import Literal

from modalink.data import formats
from modalink.data.lookalike import open_fitting
from modalink.data.records import RecordSource
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
        read = partial(formats.read, name="sharegpt", folder=media_folder(self.media, self.path))
        fits = formats.FORMATS["sharegpt"].fits
        return RecordSource(open_fitting(self.path, fits, "conversations", (".json", ".jsonl")), read)
