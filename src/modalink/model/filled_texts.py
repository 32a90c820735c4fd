"""Rendered prompts with placeholders and the media that fill them, as processors of transformers take them."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from transformers import BatchFeature

from modalink import modalities
from modalink.errors import PromptError
from modalink.model.arguments import pack
from modalink.model.item_making import ItemMaker
from modalink.model.items import Item, ragged
from modalink.model.items import texts as item_texts
from modalink.model.prepared import IGNORED


def filled_texts(texts: list[str], items: ItemMaker, kwargs: Mapping[str, Any]) -> BatchFeature:
    """Model inputs for texts.

    Args:
        texts: Rendered prompts, one placeholder a medium.
        items: Makes items of the media.
        kwargs: Media under their modality's plural (`images=`), in the order of their placeholders; options of the
            tokenizer; `padding`, `padding_side` and `return_tensors`.

    Raises:
        MediumError: A medium cannot be read.
        PromptError: There are more or fewer media than placeholders.
    """
    options = {k: v for k, v in kwargs.items() if v is not None}
    tokenizer, text = items.tokenizer, items.text
    records = [modalities.get(m) for m in items.spec.inputs]
    given = {record.name: _flat(options.pop(record.plural, None)) for record in records}
    as_tensors = options.pop("return_tensors", None)
    padding, side = options.pop("padding", False), options.pop("padding_side", tokenizer.padding_side)
    options.pop("return_mm_token_type_ids", None)
    rows = tokenizer(texts, **options)["input_ids"]
    for record in records:
        found = sum(row.count(text.tokens.placeholders[record.name]) for row in rows)
        if found != len(given[record.name]):
            raise PromptError(
                f"found {found} {record.name} placeholders in {len(texts)} texts and {len(given[record.name])} "
                f"{record.plural}; needed as many"
            )
    waiting = {m: iter(sources) for m, sources in given.items()}
    made: dict[str, list[Item]] = {}
    ids = []
    for row, words in zip(rows, texts, strict=True):
        own = {m: _items_of(row, m, waiting[m], words, items) for m in given}
        ids.append(text.expand(row, [IGNORED] * len(row), own).ids)
        for m, found_items in own.items():
            made.setdefault(m, []).extend(found_items)
    data: dict[str, Any] = tokenizer.pad(
        {"input_ids": ids, "attention_mask": [[1] * len(row) for row in ids]},
        padding=padding,
        padding_side=side,
        return_tensors=as_tensors,
    )
    return BatchFeature(dict(data) | packed(made))


def packed(media: Mapping[str, list[Item]]) -> dict[str, Any]:
    """Items by modality as arguments of the model."""
    media = {m: items for m, items in media.items() if items}
    said = {m: found for m, items in media.items() if (found := item_texts(items)) is not None}
    return pack({m: ragged(items) for m, items in media.items()}, said)


def _items_of(row: list[int], modality: str, sources: Iterator[Any], words: str, items: ItemMaker) -> list[Item]:
    count = row.count(items.text.tokens.placeholders[modality])
    for other in items.spec.inputs:  # what is said beside a medium has no signs of media in it
        words = words.replace(modalities.get(other).placeholder, "")
    return [items.open(modality, source, words, "text", among=count) for source in islice(sources, count)]


def _flat(media: Any) -> list[Any]:
    if media is None:
        return []
    if not isinstance(media, list | tuple):
        return [media]
    return [medium for entry in media for medium in (entry if isinstance(entry, list | tuple) else [entry])]
