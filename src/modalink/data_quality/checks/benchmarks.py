"""Samples that benchmarks ask, too: their pictures look like theirs, or they say the same long run of words."""

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

from pydantic import Field

from modalink import modalities
from modalink.conversation import Medium
from modalink.data.records import SUFFIXES, open_records
from modalink.data.source import files_of
from modalink.data_quality.check import Check, CheckConfig, Context, Fault
from modalink.data_quality.pictures import MOST_BITS, Look, Looks
from modalink.data_quality.sample import Sample, SeenMedium
from modalink.data_quality.words import words
from modalink.errors import DataError, SampleError


class BenchmarksConfig(CheckConfig):
    """Settings of the check against benchmarks, which stand under `--against`: pictures and tables of texts."""

    kind: Literal["benchmarks"] = "benchmarks"
    run: int = Field(default=13, ge=3)
    """So many words one behind the other, said by a benchmark too, are a fault: 13 as for GPT-3 (arXiv 2005.14165,
    appendix C). Shorter questions are asked of many pictures; there the picture tells."""
    bits: int = Field(default=6, ge=0, le=MOST_BITS)
    """In how many of the 64 bits of their perceptual hashes two pictures that look alike may differ."""
    colour: int = Field(default=32, ge=0, le=255)
    """By how much any part of their small copies may differ, of 255."""

    def lacks(self, context: Context) -> str:
        """Files of benchmarks."""
        return "" if context.against else "files of benchmarks: --against PATH"

    def begin(self, context: Context) -> Check:
        """Read the benchmarks' pictures and texts."""
        return _Benchmarks(self, context.against)


class _Benchmarks(Check):
    def __init__(self, config: BenchmarksConfig, against: Sequence[Path]) -> None:
        self._run = config.run
        self._pictures, self._names = Looks(config.bits, config.colour), list[str]()
        self._runs: dict[int, str] = {}
        for path in against:
            self._read(path)

    def look(self, sample: Sample) -> Iterator[Fault]:
        for medium in sample.media:
            look = medium.look
            if isinstance(look, Look) and (found := next(self._pictures.like(look), None)) is not None:
                yield Fault.of(sample, "test_picture", f"its {medium.modality} looks like {self._names[found]}")
        said = words(sample.said())
        where = next((self._runs[run] for run in _runs(said, self._run) if run in self._runs), None)
        if where is not None:
            yield Fault.of(sample, "test_text", f"says {self._run} words one behind the other that {where} says, too")

    def facts(self) -> dict[str, Any]:
        """How much of the benchmarks was read."""
        return {"pictures": len(self._pictures), "runs of words": len(self._runs)}

    def _read(self, path: Path) -> None:
        files = files_of(str(path))
        pictures = [file for file in files if file.suffix.lower() in modalities.get(modalities.DEFAULT).suffixes]
        tables = [file for file in files if file.suffix.lower() in SUFFIXES]
        if not pictures and not tables:
            raise DataError(f"{path}: looked for pictures and for {', '.join(SUFFIXES)} of a benchmark; found none")
        for file in pictures:
            look = SeenMedium("user", Medium(modalities.DEFAULT, str(file))).look
            if isinstance(look, Look):
                self._pictures.add(len(self._names), look)
                self._names.append(str(file))
        for file in tables:
            records = open_records(str(file))
            for number in range(len(records)):
                try:
                    self._add(records[number], records.where(number))
                except SampleError:
                    continue  # a benchmark's own damage is no fault of the data

    def _add(self, record: dict[str, Any], where: str) -> None:
        for text in _texts(record):
            for run in _runs(words(text), self._run):
                self._runs.setdefault(run, where)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        yield from chain.from_iterable(map(_texts, value.values() if isinstance(value, dict) else value))


def _runs(said: list[str], size: int) -> Iterator[int]:
    for at in range(len(said) - size + 1):
        run = " ".join(said[at : at + size]).encode()
        yield crc32(run) << 32 | crc32(run[::-1])
