"""What a file that does not fit its source looks like, and which lines of recipe read it."""

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from modalink import json_files, modalities
from modalink.data import formats, preference_formats
from modalink.data.media_columns import holds_media
from modalink.data.records import SUFFIXES, Records, columns, open_records
from modalink.errors import DataError, SampleError
from modalink.roles import ModalityRecord

Record = dict[str, Any]

_TRIED = 20
"""Records that are read to tell whether a file fits."""
_ASKED = ("question", "query", "prompt", "instruction", "input", "user", "problem")
_ANSWERED = ("answer", "response", "completion", "output", "assistant", "reply", "solution")
_CAPTIONS = ("caption", "text", "description", "captions", "title")
_PATHS = ("file_name", "filename", "filepath", "file", "path", "image_path", "url", "img")


def open_fitting(
    pattern: str, fits: Callable[[Record], bool], needed: str, suffixes: Sequence[str] = SUFFIXES
) -> Records:
    """Open records, see `open_records`, and see to it that one of the first has the columns that its source needs.

    Args:
        pattern: The path.
        fits: Whether a record has them.
        needed: Their names, for the error.
        suffixes: Names that hold records.

    Raises:
        DataError: As `open_records`, or none of the first records fits; the error tells what reads the file.
    """
    try:
        records = open_records(pattern, suffixes)
    except DataError as error:
        if hint := _folder_hint(Path(pattern).expanduser()):
            raise DataError(f"{error}; {hint}") from error
        raise
    check_fits(records, fits, needed, pattern)
    return records


def check_fits(records: Records, fits: Callable[[Record], bool], needed: str, path: str) -> None:
    """See to it that one of the first records has the columns that its source needs, see `open_fitting`."""
    first: Record | None = None
    for index in islice(range(len(records)), _TRIED):
        try:
            record = records[index]
        except SampleError:
            continue
        if fits(record):
            return
        first = record if first is None else first
    if first is None and (first := _whole(Path(path))) is None:
        return  # each record's own error says what is wrong with it
    raise DataError(f"{path}: needed the columns {needed}; {seems(first, path)}")


def seems(record: Record, path: str = "FILE") -> str:
    """What a record looks like, and the lines of recipe that read it."""
    for looks in (_preference, _conversation, _document, _annotations, _index, _captions, _rounds, _prompt, _text):
        if found := looks(record, path):
            what, settings = found
            return f"the first record looks like {what}" + (_recipe(settings) if settings else "")
    return (
        f"the first record has the columns {columns(record)}, which no known format has; tell which they are, for "
        f"example{_recipe({'source': 'messages', 'path': path, 'columns': {'prompt': 'ASKED', 'completion': 'SAID'}})}"
    )


_Found = tuple[str, dict[str, Any] | None]


def _preference(record: Record, path: str) -> _Found | None:
    if preference_formats.recognise(record) is None:
        return None
    return "preferences, answers with a judgement", {"source": "preferences", "path": path}


def _conversation(record: Record, path: str) -> _Found | None:
    names = {
        "messages": "chat messages", "sharegpt": "conversations of ShareGPT's or LLaVA's kind",
        "alpaca": "instructions of Alpaca's kind", "query_response": "ms-swift's queries and responses",
        "prompt_completion": "TRL's prompts and completions",
    }  # fmt: skip
    name = formats.recognise(record)
    return None if name is None else (names[name], {"source": "messages", "path": path})


def _document(record: Record, path: str) -> _Found | None:
    listed = [key for key in ("texts", "text_list", "content") if isinstance(record.get(key), list)]
    return ("interleaved documents", {"source": "interleaved", "path": path}) if listed else None


def _annotations(record: Record, path: str) -> _Found | None:
    tables = [key for key in ("annotations", "images", "questions", "data") if isinstance(record.get(key), list)]
    if "annotations" not in tables and len(tables) < 2:
        return None
    what = f"one mapping with the tables {' and '.join(tables)}, as COCO and VQA keep annotations"
    return f"{what}, and not like records: write a line for each image or question, with its path and its text", None


def _index(record: Record, path: str) -> _Found | None:
    inner = next((value for value in record.values()), None)
    if not isinstance(inner, dict) or not {"file_name", "hf_hub_url", "ms_hub_url", "script_url"} & inner.keys():
        return None
    file = inner.get("file_name")
    what = "LLaMA-Factory's list of data sets, dataset_info.json; name one of its files"
    return what, {"source": "messages", "path": str(Path(path).parent / file) if isinstance(file, str) else "FILE"}


def _captions(record: Record, path: str) -> _Found | None:
    caption = next((name for name in _CAPTIONS if isinstance(record.get(name), str)), None)
    for row in modalities.records():
        named = [name for name in (*row.columns, *_PATHS) if isinstance(record.get(name), str | dict)]
        medium = next((name for name in named if _is_of(name, record[name], row, path)), None)
        if caption and medium:
            file = Path(path)
            settings: dict[str, Any] = {"source": "pairs", "path": str(file.parent), "captions": file.name}
            settings |= {} if row.name == modalities.DEFAULT else {"modality": row.name}
            settings |= {} if medium == row.name else {"media_column": medium}
            return f"{row.plural} with captions", settings | (
                {} if caption == "caption" else {"caption_column": caption}
            )
    return None


def _rounds(record: Record, path: str) -> _Found | None:
    asked, answered = (next((n for n in names if n in record), None) for names in (_ASKED, _ANSWERED))
    if not asked or not answered:
        return None
    renamed = {to: own for to, own in (("prompt", asked), ("completion", answered)) if to != own}
    settings: dict[str, Any] = {"source": "messages", "path": path, "columns": renamed}
    for row in modalities.records():
        named = next((name for name, value in record.items() if _is_of(name, value, row, path)), None)
        if named:
            settings["place"] = "first"
            renamed |= {} if named in row.columns else {row.name: named}
    return "questions and answers in columns of their own", settings


def _prompt(record: Record, path: str) -> _Found | None:
    if not isinstance(record.get("prompt"), str | list):
        return None
    return "prompts without replies", {"source": "prompts", "path": path}


def _text(record: Record, path: str) -> _Found | None:
    if not isinstance(record.get("text"), str):
        return None
    return "documents of text", {"source": "text", "path": path}


def _is_of(name: str, value: Any, row: ModalityRecord, path: str) -> bool:
    """Whether a column is one of media: by its name and what it holds, or by the suffix of what it holds."""
    if name in row.columns:
        return holds_media(value, row, Path(path).parent, unseen=True)
    return isinstance(value, str) and len(value) < 4096 and value.lower().endswith(row.suffixes)


def _recipe(settings: dict[str, Any]) -> str:
    line = yaml.safe_dump(settings, default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True).strip()
    return f": write\n    data:\n      - {line}"


def _folder_hint(path: Path) -> str:
    """What reads a file or a folder that holds no records."""
    files = [path] if path.is_file() else list(islice(path.iterdir(), 1000)) if path.is_dir() else []
    suffixes = {file.suffix.lower() for file in files}
    folder = str(path if path.is_dir() else path.parent)
    for row in modalities.records():
        if suffixes & {*row.suffixes}:
            kind = {} if row.name == modalities.DEFAULT else {"modality": row.name}
            return f"it looks like files of {row.plural}" + _recipe({"source": "pairs", "path": folder, **kind})
    if ".tar" in suffixes:
        return "it looks like tar shards" + _recipe({"source": "pairs", "path": str(path)})
    if ".txt" in suffixes:
        return "it looks like lines of text" + _recipe({"source": "text", "path": str(path)})
    if suffixes & {".yaml", ".yml"}:
        return "it looks like a recipe, which names data and holds none"
    if suffixes & {".zip", ".gz", ".tgz", ".7z", ".zst"}:
        return "it looks like an archive; unpack it first"
    return ""


def _whole(path: Path) -> Record | None:
    """A file of JSON that is one mapping, however it is laid out in lines."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return None
    try:
        value: Record = json_files.read(path, DataError, Record)
    except DataError:
        return None
    return value
