"""Speech recognition: transcripts against right ones, such as LibriSpeech's."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from modalink.errors import DataError, shown
from modalink.scoring.annotations import field_of, text_of
from modalink.scoring.benchmark import (
    BenchmarkOptions,
    Grade,
    GradedQuestion,
    Question,
    QuestionBenchmark,
    Setup,
    Summary,
)
from modalink.scoring.bootstrap import Sums
from modalink.scoring.metrics.wer import word_errors
from modalink.scoring.predictions import IDS, as_text, row_id
from modalink.scoring.rows import read_rows

ASKED = "Transcribe the speech."
TRANSCRIPTS = "*.trans.txt"
"""Names of LibriSpeech's files of transcripts."""


class SpeechOptions(BenchmarkOptions):
    """Options of speech recognition."""

    caseless: bool = True
    """Whether both sides are lower-cased and lose their punctuation, apostrophes excepted."""


def _questions(path: Path, options: SpeechOptions) -> Iterator[Question]:
    if path.is_dir():
        yield from _librispeech(path)
        return
    for row in read_rows(path):
        gold = as_text(
            field_of(
                row.fields, ("reference", "transcript", "label", "answer", "text", "value"), row.where, "the transcript"
            ),
            row.where,
        )
        media = text_of(row.fields, "audio", "path")
        yield Question(row_id(row, IDS), gold, ASKED, media)


def _librispeech(folder: Path) -> Iterator[Question]:
    """The utterances of a split, of lines `ID WORDS` of SPEAKER/CHAPTER/*.trans.txt, with ID.flac beside them."""
    files = sorted(folder.glob(f"*/*/{TRANSCRIPTS}"))
    if not files:
        raise DataError(f"{folder}: found no transcripts, needed SPEAKER/CHAPTER/{TRANSCRIPTS} in it")
    for file in files:
        for row in read_rows(file):
            key, _, words = str(row.fields["value"]).strip().partition(" ")
            if not words:
                raise DataError(f"{row.where}: found {shown(row.fields['value'])}, needed an id and its transcript")
            name = f"{file.parent.relative_to(folder).as_posix()}/{key}"
            yield Question(key, words, ASKED, f"{name}.flac", other_names=(name,))


def _tidy(text: str, options: SpeechOptions) -> str:
    if not options.caseless:
        return text
    return " ".join("".join(c if c.isalnum() or c in "' " else " " for c in text.lower()).split())


def _grade(question: Question, reply: Any, where: str, options: SpeechOptions) -> Grade:
    transcript = _tidy(as_text(reply, where), options)
    edits, words = word_errors(transcript, _tidy(question.gold, options))
    return Grade(edits / words if words else float(edits > 0), transcript, detail=(edits, words))


def _when_missing(question: Question, options: SpeechOptions) -> Grade:
    words = len(_tidy(question.gold, options).split())
    return Grade(1.0, parsed=False, detail=(words, words))


def _summarise(items: list[GradedQuestion], options: SpeechOptions) -> Summary:
    columns = np.array([item.grade.detail for item in items], float)
    if not columns[:, 1].sum():
        raise DataError("the right transcripts have no words, needed some to compute an error rate")
    sample = Sums(columns, lambda sums: 100 * sums[:, 0] / np.maximum(sums[:, 1], 1))
    return Summary(
        sample.value(),
        {"wer": sample.value(), "words": float(columns[:, 1].sum())},
        sample,
        items=items,
        count=len(items),
    )


BENCHMARKS = {
    "speech_recognition": QuestionBenchmark(
        title="Speech recognition",
        rule=lambda o: (
            "word error rate of the corpus, "
            + ("lower case, no punctuation but apostrophes" if o.caseless else "texts as they are")
            + "; lower is better"
        ),
        source="jiwer; edits over words of the whole corpus",
        unit="percent",
        annotations="LibriSpeech's folder of a split, such as test-clean, with SPEAKER/CHAPTER/*.trans.txt; or rows "
        "{id, reference or transcript, audio}",
        predictions="rows {id, text}",
        aliases=("wer", "asr", "librispeech"),
        options=SpeechOptions,
        questions=_questions,
        grade=_grade,
        when_missing=_when_missing,
        summarise=_summarise,
        setup=Setup(files=(TRANSCRIPTS,), folder=True, depth=2, modality="audio"),
    ),
}
