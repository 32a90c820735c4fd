"""Whether a column that is called as a modality holds media of it: a data set may mean something else by the name."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modalink.conversation import inner_source
from modalink.data.source import place
from modalink.errors import MediumError
from modalink.roles import ModalityRecord

_NUMBER = re.compile(r"[-+\d.,:/%\s]*")


def holds_media(value: Any, row: ModalityRecord, folder: Path, *, unseen: bool = False) -> bool:
    """Whether a value can be a medium, or media, of a modality: a number or a grade cannot.

    Args:
        value: What the column holds.
        row: The modality.
        folder: What paths are relative to.
        unseen: Whether a name counts that has no suffix of the modality and that no file has, unless it is a number.
    """
    if isinstance(value, list):
        return any(holds_media(one, row, folder, unseen=unseen) for one in value)
    if isinstance(value, str):
        return value != "" and _names_medium(value, row, folder, unseen)
    source = inner_source(value) if isinstance(value, Mapping) else value
    if source is None or isinstance(source, str):
        return bool(source)
    try:
        row.open(source)
    except MediumError as error:
        return error.reason != "unsupported"
    return True


def _names_medium(text: str, row: ModalityRecord, folder: Path, unseen: bool) -> bool:
    source = str(place(text, folder))
    if source[:5].lower() == "data:" or "://" in source[:32]:
        return True
    if text.lower().endswith(row.suffixes) or os.path.isfile(source):
        return True
    return unseen and _NUMBER.fullmatch(text) is None
