"""The kit for retrievers: a new one needs a test of one line."""

from collections.abc import Sequence
from typing import Any

import torch

from modalink import modalities
from modalink.errors import PartError
from modalink.roles.retriever import EmbedsMedia, Found, Query, Retriever, RetrieverConfig
from modalink.testing.requirements import check_settings, require, require_close

_MANY = 10_000


class _Another:
    """Stands for another encoder than the one of an index."""

    sha256 = "of another encoder"

    def __init__(self, embed: EmbedsMedia) -> None:
        self._embed = embed

    def __call__(self, media: Sequence[Any], pool: Any) -> Any:
        return self._embed(media, pool)


def check_retriever(config: RetrieverConfig, queries: Sequence[Query], embed: EmbedsMedia | None = None) -> None:
    """Prove that a retriever finds entries in their order, the same each time, and none that are left out.

    Args:
        config: Its settings, over an index of fewer than 10,000 entries, of which two at least can be found.
        queries: What it can find something for.
        embed: The encoder that made the index, where it needs one of the system.

    Raises:
        AssertionError: It breaks the promise that the message names.
    """
    check_settings(config)
    _check_declared(config)
    _check_refusals(config, embed)
    retriever = config.build(embed)
    require(isinstance(retriever, Retriever), "build must give a Retriever")
    require(bool(retriever.sha256), "a retriever must say which index it has: sha256")
    require(bool(queries), "the kit needs a query at least")
    first = [retriever.search(query, _MANY) for query in queries]
    for query, found in zip(queries, first, strict=True):
        require(len(found) >= 2, f"the kit needs queries that find two entries at least; {query.words!r} does not")
        _check_found(found)
        _check_counts(retriever, query, found)
    again = config.build(embed)
    backwards = [again.search(query, _MANY) for query in reversed(queries)][::-1]
    require(backwards == first, "the same query must find the same, whatever was asked before, and when built anew")
    require(again.sha256 == retriever.sha256, "a retriever that is built anew must be of the same index")
    _check_nothing(config, retriever)
    if embed is not None or config.embeds() is None:
        _check_vectors(config, queries, embed)


def _check_declared(config: RetrieverConfig) -> None:
    known = {"words", *modalities.names()}
    require(config.looks_at() <= known, f"looks_at must name words or modalities: {sorted(config.looks_at())}")
    for name in {config.embeds(), config.keeps()} - {None}:
        require(name in modalities.names(), f"embeds and keeps must name modalities, found {name!r}")


def _check_refusals(config: RetrieverConfig, embed: EmbedsMedia | None) -> None:
    absent = config.replace(index=f"{config.index}-that-is-absent")
    tries = [(absent, embed, "an index that is absent")]
    if config.embeds() is not None and embed is not None:
        tries += [(config, None, "no encoder, where it needs one"), (config, _Another(embed), "another encoder")]
    for settings, given, what in tries:
        try:
            settings.build(given)
        except PartError as error:
            require(settings.index in str(error), f"{what} must be refused by a message that names the index: {error}")
            continue
        raise AssertionError(f"{what} must be refused with a PartError")


def _check_found(found: Sequence[Found]) -> None:
    numbers, scores = [one.number for one in found], [one.score for one in found]
    require(len({*numbers}) == len(numbers), f"no entry may be found twice: {numbers}")
    require(scores == sorted(scores, reverse=True), f"the nearest must come first: {scores}")
    require(scores[0] <= 1 + 1e-5, f"the largest score is 1, found {scores[0]}")
    for one in found:
        require(bool(one.source), f"entry {one.number} must say where it comes from")
        for modality, path in one.media:
            require(path.is_file(), f"entry {one.number}: its {modality} must be a file, found {path}")


def _check_counts(retriever: Retriever, query: Query, found: Sequence[Found]) -> None:
    for count in (1, 2):
        few = retriever.search(query, count)
        require(few == [*found[:count]], f"the {count} nearest must be the first of all")
    first = found[0].source
    rest = [one for one in found if one.source != first]
    left = retriever.search(query, _MANY, {first})
    require(left == rest, f"entries of a source that is left out must not be found, and all others must: {first}")
    nearest = retriever.search(query, 1, {first})
    require(nearest == rest[:1], "where the nearest is left out, the next one must be found in its place")
    require(not retriever.search(query, _MANY, {one.source for one in found}), "where all are left out, none is found")


def _check_nothing(config: RetrieverConfig, retriever: Retriever) -> None:
    if not config.looks_at():
        require(bool(retriever.search(Query(""), 1)), "a retriever that looks at nothing must find all the same")
        return
    require(not retriever.search(Query(""), _MANY), "an empty query must find nothing")
    if "words" not in config.looks_at():
        require(not retriever.search(Query("What is it?"), _MANY), "words must find nothing where it looks at none")


def _check_vectors(config: RetrieverConfig, queries: Sequence[Query], embed: EmbedsMedia | None) -> None:
    modality, vectors = config.keeps(), config.vectors(embed)
    require((modality is None) == (vectors is None), "what keeps vectors must make them, and only that")
    if modality is None or vectors is None:
        return
    record = modalities.get(modality)
    media = [record.open(record.example(number)) for number in range(3)]
    together = vectors(media)
    require(together.dtype == torch.float32 and together.ndim == 2, "vectors must be float32, one for each medium")
    require_close(together.norm(dim=1), torch.ones(3), "vectors must have the length 1")
    alone = torch.cat([vectors([medium]) for medium in media])
    require_close(together, alone, "vectors of a batch must equal vectors one by one")
