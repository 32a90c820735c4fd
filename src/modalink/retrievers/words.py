"""Finds by words: entries whose texts share the rarest words with what is said; it needs no encoder.

The score is the cosine of TF-IDF vectors (Salton and Buckley, Term-weighting approaches in automatic text retrieval,
1988): a word counts 1 + ln(times) in a text, times ln((1 + entries) / (1 + entries with it)) + 1.
"""

import re
from collections import Counter
from collections.abc import Collection
from typing import Literal

import numpy as np
from scipy.sparse import csr_array

from modalink.retrievers._index import Index, IndexRetriever, IndexRetrieverConfig
from modalink.roles.retriever import EmbedsMedia, Found, Query

_WORD = re.compile(r"\w+")


class WordsRetrieverConfig(IndexRetrieverConfig):
    """Settings of a retriever that looks at words."""

    kind: Literal["words"] = "words"

    def looks_at(self) -> frozenset[str]:
        """Words."""
        return frozenset({"words"})

    def build(self, embed: EmbedsMedia | None) -> "WordsRetriever":
        """The retriever over the index, whatever kind made it."""
        return WordsRetriever(Index.open(self.index))


class WordsRetriever(IndexRetriever):
    """Looks at what is said.

    Args:
        index: Where it looks.
    """

    def __init__(self, index: Index) -> None:
        super().__init__(index)
        counted = [_counts(entry.text) for entry in index.entries]
        self._columns: dict[str, int] = {}
        for counts in counted:
            for word in counts:
                self._columns.setdefault(word, len(self._columns))
        having = Counter(word for counts in counted for word in counts)
        self._weights = np.array([np.log((1 + len(index)) / (1 + having[word])) + 1 for word in self._columns])
        self._table = self._rows(counted)

    def search(self, query: Query, count: int, without: Collection[str] = ()) -> list[Found]:
        """The entries of the nearest texts; only those that share a word."""
        scores = (self._table @ self._rows([_counts(query.words)]).T).toarray()[:, 0]
        return self.index.nearest(np.where(scores > 0, scores, -np.inf), count, without)

    def _rows(self, counted: list[Counter[str]]) -> csr_array:
        """Unit vectors of texts `[texts words]`; words that no entry has are passed over."""
        values, columns, starts = [], [], [0]
        for counts in counted:
            known = [(self._columns[word], times) for word, times in counts.items() if word in self._columns]
            row = np.array([(1 + np.log(times)) * self._weights[column] for column, times in known])
            length = np.linalg.norm(row)
            values.append(row / length if length else row)
            columns.append(np.array([column for column, _ in known], dtype=np.int64))
            starts.append(starts[-1] + len(known))
        shape = (len(counted), max(1, len(self._columns)))
        return csr_array((np.concatenate(values), np.concatenate(columns), np.array(starts)), shape=shape)


def _counts(text: str) -> Counter[str]:
    return Counter(_WORD.findall(text.casefold()))
