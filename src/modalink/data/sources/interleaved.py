"""Documents of texts and images in reading order (OBELICS, MMC4, content blocks), each one turn of the assistant."""

from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from modalink.conversation import Content, Conversation, Medium, Text, Turn
from modalink.data.records import RecordSource, checked_messages, open_records, record_id
from modalink.data.source import SourceConfig, media_folder, placed
from modalink.errors import SampleError


class InterleavedConfig(SourceConfig):
    """Settings of interleaved documents.

    A record holds one of:
    - `texts` and `images`, equally long, at each place one of the two and null for the other (OBELICS);
    - `text_list`, and `image_info` with `image_name` and `matched_text_index`, the number of the text that the image
      shall stand before (MMC4);
    - `content`, a list of blocks as in chat messages.
    """

    kind: Literal["interleaved"] = "interleaved"
    path: str
    """jsonl, json or parquet: a file, a folder or a pattern."""
    media: str | None = None
    """Folder that the images' paths are relative to; by default the file's own."""

    def open(self) -> RecordSource:
        """Find the documents."""
        return RecordSource(open_records(self.path), partial(_read, folder=media_folder(self.media, self.path)))


def _read(record: dict[str, Any], where: str, *, folder: Path) -> Conversation:
    id = record_id(record, where)
    if "text_list" in record:
        content = _mmc4(record, id)
    elif "texts" in record:
        content = _obelics(record, id)
    elif "content" in record:
        message = {"role": "assistant", "content": record["content"]}
        content = list(checked_messages([message], id).turns[0].content)
    else:
        found = ", ".join(record)
        raise SampleError(id, "bad_record", f"found the keys {found}; needed 'texts', 'text_list' or 'content'")
    if not any(isinstance(piece, Text) and piece.text.strip() for piece in content):
        raise SampleError(id, "no_text", "the document holds no text to learn")
    return Conversation((Turn("assistant", placed(content, folder)),), id)


def _obelics(record: dict[str, Any], id: str) -> list[Content]:
    texts, images = record["texts"], record.get("images")
    if not isinstance(texts, list) or not isinstance(images, list) or len(texts) != len(images):
        found = [len(x) if isinstance(x, list) else x for x in (texts, images)]
        raise SampleError(id, "bad_record", f"found {found[0]} texts and {found[1]} images, needed lists of one length")
    content: list[Content] = []
    for number, (text, image) in enumerate(zip(texts, images, strict=True)):
        if (text is None) == (image is None):
            raise SampleError(id, "bad_record", f"place {number}: needed a text or an image, and null for the other")
        content.append(Medium("image", image) if text is None else Text(str(text)))
    return content


def _mmc4(record: dict[str, Any], id: str) -> list[Content]:
    texts = record["text_list"]
    if not isinstance(texts, list):
        raise SampleError(id, "bad_record", f"found text_list {texts!r:.80}, needed a list")
    before: dict[int, list[Content]] = {}
    for number, info in enumerate(record.get("image_info") or []):
        known = info if isinstance(info, dict) else {}
        name, index = known.get("image_name"), known.get("matched_text_index")
        if name is None or not isinstance(index, int) or not 0 <= index < len(texts):
            needed = f"'image_name' and a 'matched_text_index' below {len(texts)}"
            raise SampleError(id, "bad_record", f"image {number}: found {info!r:.120}, needed {needed}")
        before.setdefault(index, []).append(Medium("image", name, str(texts[index])))
    sentences = ([*before.get(i, []), Text(f"{' ' if i else ''}{text}")] for i, text in enumerate(texts))
    return list(chain.from_iterable(sentences))
