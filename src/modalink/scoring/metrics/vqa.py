"""The VQA soft score and its normalisers, which differ by implementation and do not give the same number.

Source: GT-Vision-Lab/VQA, PythonEvaluationTools/vqaEvaluation/vqaEval.py (`official`); facebookresearch/mmf,
pythia/tasks/processors.py, EvalAIAnswerProcessor (`m4c`); VizWiz_API, vqaEval.py (`vizwiz`); EvolvingLMMs-Lab/
lmms-eval, tasks/vqav2 (`lmms`); open-compass/VLMEvalKit, vlmeval/dataset/utils/vqa_eval.py (`vlmevalkit`).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

MARKS = tuple(';/[]"{}()=+\\_-><@`,?!')
DIGITS = {"none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6",
          "seven": "7", "eight": "8", "nine": "9", "ten": "10"}  # fmt: skip
ARTICLES = {"a", "an", "the"}

_WORDS = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd
he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've
needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've
somebody'll somebody's someone'd someone'd've someone'll someone's something'd something'd've something'll
that's there'd there'd've there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've
weren't what'll what're what's what've when's where'd where's where've who'd who'd've who'll who's who've
why'll why're why's won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're
you've
"""

# The official table has the entries of these words in capitals or as themselves, where they never act: I'd've, I'm,
# I've, let's, she's. It turns one word the wrong way round.
CONTRACTIONS = {"somebody'd": "somebodyd"} | {
    word[:at] + word[at + 1 :]: word for word in _WORDS.split() for at, char in enumerate(word) if char == "'"
}

# VizWiz's copy was typeset: most of its apostrophes are typographic, on both sides, and match or produce nothing else.
_PLAIN = {"ain't", "aren't", "can't", "could've", "couldn't", "we've", "where's", "who've"}
_PLAIN_KEYS = {"couldn'tve", "hadn'tve"}
VIZWIZ_CONTRACTIONS = {
    key if key in _PLAIN_KEYS else key.replace("'", "’"): word if word in _PLAIN else word.replace("'", "’")
    for key, word in CONTRACTIONS.items()
}

_COMMA = re.compile(r"\d,\d")
# The look-behind that should protect a digit's period is mistyped in the official code and guards nothing.
_PERIOD = re.compile(r"\.(?!\d)")
_LONE_PERIOD = re.compile(r"(?<!\d)\.(?!\d)")


def _punctuation(text: str, period: re.Pattern[str]) -> str:
    together = bool(_COMMA.search(text))
    out = text
    for mark in MARKS:
        if mark in text:
            out = out.replace(mark, "" if together or f"{mark} " in text or f" {mark}" in text else " ")
    # 32 is the official code's flag re.UNICODE, passed where the count belongs.
    return period.sub("", out, count=32)


def _words(text: str, contractions: dict[str, str]) -> str:
    digits = (DIGITS.get(word, word) for word in text.lower().split())
    return " ".join(contractions.get(word, word) for word in digits if word not in ARTICLES)


def tidy(text: str) -> str:
    """Line ends and tabs become spaces, the ends are stripped."""
    return text.replace("\n", " ").replace("\t", " ").strip()


def _short(function: Callable[[str], str]) -> Callable[[str], str]:
    """Remember answers of ordinary length: most of a benchmark's answers occur many times."""
    cached = lru_cache(maxsize=1 << 17)(function)
    return lambda text: cached(text) if len(text) <= 64 else function(text)


@_short
def official(text: str) -> str:
    """Normalise an answer as the VQA evaluation does."""
    return _words(_punctuation(tidy(text), _PERIOD), CONTRACTIONS)


@_short
def m4c(text: str) -> str:
    """Normalise an answer as the EvalAI server and M4C do: first lower case, no comma, no question mark, ` 's`."""
    lower = text.lower().replace(",", "").replace("?", "").replace("'s", " 's").strip()
    return _words(_punctuation(tidy(lower), _PERIOD), CONTRACTIONS)


@_short
def vizwiz(text: str) -> str:
    """Normalise an answer as the VizWiz evaluation does."""
    return _words(_punctuation(tidy(text), _PERIOD), VIZWIZ_CONTRACTIONS)


@_short
def vlmevalkit(text: str) -> str:
    """Normalise an answer as VLMEvalKit does: a period beside a digit stays."""
    return _words(_punctuation(tidy(text), _LONE_PERIOD), CONTRACTIONS)


def same(text: str) -> str:
    """The answer as it is."""
    return text


@dataclass(frozen=True, slots=True)
class Variant:
    """One implementation's way to compare a reply with the annotators' answers."""

    reply: Callable[[str], str]
    answers: Callable[[str], str]
    raw_if_unanimous: bool = False
    """Whether nothing is normalised where all annotators wrote the same."""
    leave_one_out: bool = True
    """Whether each annotator is compared with the others; else all count at once."""
    digits: int | None = None
    """Decimals that the implementation rounds percentages to."""


VARIANTS = {
    "official": Variant(official, official, raw_if_unanimous=True, digits=2),
    "m4c": Variant(m4c, m4c),
    "vizwiz": Variant(vizwiz, same, digits=2),
    "lmms": Variant(official, official),
    "vlmevalkit": Variant(vlmevalkit, vlmevalkit),
    "minigpt": Variant(str.lower, str.lower, leave_one_out=False),
}


@cache
def soft_score(matches: int, answers: int) -> float:
    """The mean over annotators of min(1, matches among the others / 3).

    Of ten annotators 0, 1, 2, 3, 4 matches give 0, 0.3, 0.6, 0.9, 1.
    """
    parts = [min(1, (matches - 1) / 3)] * matches + [min(1, matches / 3)] * (answers - matches)
    return sum(parts) / answers


def vqa_score(reply: str, answers: Sequence[str], variant: Variant) -> tuple[float, str]:
    """Score a reply against the annotators' answers.

    Returns:
        The soft score in [0, 1], and the reply as it was compared.
    """
    if variant.raw_if_unanimous and len(clean := {tidy(answer) for answer in answers}) == 1:
        normalised, matches = tidy(reply), len(answers) * (tidy(reply) in clean)
    else:
        normalised = variant.reply(reply)
        matches = sum(variant.answers(answer) == normalised for answer in answers)
    return soft_score(matches, len(answers)) if variant.leave_one_out else min(1.0, matches / 3), normalised
