"""Documents of texts and media in reading order (OBELICS, MMC4, content blocks), each one turn of the assistant."""

from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from modalink import modalities
from modalink.conversation import Content, Conversation, Medium, Text, Turn, Use
from modalink.data.lookalike import open_fitting
from modalink.data.records import RecordSource, checked_messages, columns
from modalink.data.source import SourceConfig, media_folder, placed
from modalink.errors import SampleError


class InterleavedConfig(SourceConfig):
    """Settings of interleaved documents.

    A record holds one of:
    - `texts` and `images`, equally long, at each place one of the two and null for the other (OBELICS);
    - `text_list`, and `image_info` with `image_name` and `matched_text_index`, the number of the text that the image
      should stand before (MMC4);
    - `content`, a list of blocks as in chat messages.

    Columns of other modalities are named alike.
    """

    kind: Literal["interleaved"] = "interleaved"
    path: str
    """jsonl, json or parquet: a file, a folder or a pattern."""
    media: str | None = None
    """Folder that the media's paths are relative to; by default the file's own."""
    use: Use | None = None
    """Whether media are read, made, or both; by default made where the system can make them, else read."""

    def open(self) -> RecordSource:
        """Find the documents."""
        folder = media_folder(self.media, self.path)
        records = open_fitting(self.path, fits, "'texts', 'text_list' or 'content'")
        return RecordSource(records, partial(read_document, folder=folder, use=self.use))


def fits(record: dict[str, Any]) -> bool:
    """Whether a record has the columns of a document."""
    return bool({"text_list", "texts", "content"} & record.keys())


def read_document(record: dict[str, Any], id: str, *, folder: Path, use: Use | None) -> Conversation:
    """A record as one turn of the assistant; raises `SampleError`."""
    if "text_list" in record:
        content = _mmc4(record, id)
    elif "texts" in record:
        content = _obelics(record, id)
    elif "content" in record:
        message = {"role": "assistant", "content": record["content"]}
        content = list(checked_messages([message], id).turns[0].content)
    else:
        found = columns(record)
        raise SampleError(id, "bad_record", f"found the keys {found}; needed 'texts', 'text_list' or 'content'")
    if not any(isinstance(piece, Text) and piece.text.strip() for piece in content):
        raise SampleError(id, "no_text", "the document holds no text to learn")
    content = [replace(p, use=p.use or use) if isinstance(p, Medium) else p for p in content]
    return Conversation((Turn("assistant", placed(content, folder)),), id)


def _obelics(record: dict[str, Any], id: str) -> list[Content]:
    media = {row.plural: row.name for row in modalities.records() if record.get(row.plural) is not None}
    lists = {name: record[name] for name in ("texts", *media)}
    lengths = {name: len(column) if isinstance(column, list) else None for name, column in lists.items()}
    if not media or None in lengths.values() or len({*lengths.values()}) > 1:
        found = " and ".join(f"{length} {name}" for name, length in lengths.items())
        found = found if media else f"{found} and no column of media"
        raise SampleError(id, "bad_record", f"found {found}, needed lists of one length")
    content: list[Content] = []
    for number, row in enumerate(zip(*lists.values(), strict=True)):
        given = [(name, piece) for name, piece in zip(lists, row, strict=True) if piece is not None]
        if len(given) != 1:
            raise SampleError(id, "bad_record", f"place {number}: needed a text or a medium, and null for the other")
        name, piece = given[0]
        if name not in media and not isinstance(piece, str):
            raise SampleError(id, "bad_record", f"place {number}: found the text {piece!r:.80}, needed text")
        content.append(Medium(media[name], piece) if name in media else Text(piece))
    return content


def _mmc4(record: dict[str, Any], id: str) -> list[Content]:
    texts = record["text_list"]
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise SampleError(id, "bad_record", f"found text_list {texts!r:.80}, needed a list of texts")
    before: dict[int, list[Content]] = {}
    infos = [(row.name, info) for row in modalities.records() for info in _infos(record, f"{row.name}_info", id)]
    for number, (modality, info) in enumerate(infos):
        known = info if isinstance(info, dict) else {}
        name, index = known.get(f"{modality}_name"), known.get("matched_text_index")
        if name is None or type(index) is not int or not 0 <= index < len(texts):
            needed = f"'{modality}_name' and a 'matched_text_index' below {len(texts)}"
            raise SampleError(id, "bad_record", f"{modality} {number}: found {info!r:.120}, needed {needed}")
        before.setdefault(index, []).append(Medium(modality, name, texts[index]))
    sentences = ([*before.get(i, []), Text(f"{' ' if i else ''}{text}")] for i, text in enumerate(texts))
    return list(chain.from_iterable(sentences))


def _infos(record: dict[str, Any], column: str, id: str) -> list[Any]:
    value = record.get(column) or []
    if not isinstance(value, list):
        raise SampleError(id, "bad_record", f"found {column} {value!r:.80}, needed a list")
    return value
