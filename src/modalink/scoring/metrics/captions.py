"""BLEU, ROUGE-L, CIDEr-D, METEOR and SPICE as the COCO caption evaluation computes them.

Source: tylin/coco-caption, by its Python 3 port pycocoevalcap 1.2.
"""

import contextlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from modalink.errors import DataError, MissingExtraError
from modalink.scoring.metrics import java, ptb

DROPPED = frozenset(
    ["''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";"]
)
"""Tokens that the evaluation removes. Lower-casing comes first, so that brackets survive as `-lrb-` and the like."""

Tokenizer = Literal["auto", "java", "python"]


@dataclass
class CaptionScores:
    """The corpus scores under their official names, and the CIDEr of every caption."""

    corpus: dict[str, float]
    cider: np.ndarray
    notes: list[str] = field(default_factory=list)


def uses_java(tokenizer: Tokenizer) -> bool:
    """Whether the Java program makes the tokens; `auto` takes it where it can run."""
    return tokenizer == "java" or (tokenizer == "auto" and not java.missing(java.TOKENIZER))


def tokenize(captions: Sequence[str], tokenizer: Tokenizer) -> list[str]:
    """Captions as tokens joined by spaces, by the Java program or by its double in Python."""
    token_lists = java.tokenize(captions) if uses_java(tokenizer) else ptb.tokenize(captions)
    return [" ".join(token for token in tokens if token not in DROPPED) for tokens in token_lists]


def score(
    replies: Sequence[str],
    references: Sequence[Sequence[str]],
    tokenizer: Tokenizer = "auto",
    meteor: bool = True,
    spice: bool = True,
) -> CaptionScores:
    """All caption scores of a corpus.

    Args:
        replies: One caption an item; may be empty.
        references: The right captions of each item, at least one.
        tokenizer: Which tokeniser; both give the same tokens on the captions they were compared on.
        meteor: Whether METEOR is wanted, which starts for ten seconds.
        spice: Whether SPICE is wanted, which takes minutes.

    Raises:
        MissingExtraError: pycocoevalcap is not installed.
    """
    # Two texts, as the official program gets: a caption's first word can decide a token of the one before.
    candidates = tokenize(replies, tokenizer)
    rest = iter(tokenize([reference for refs in references for reference in refs], tokenizer))
    right = [[next(rest) for _ in refs] for refs in references]
    scores = CaptionScores(*_python_scores(candidates, right))
    scores.notes.append(f"tokens of the {'Java program' if uses_java(tokenizer) else 'tokeniser in Python'}")
    why = "not asked for" if not meteor else java.missing(java.METEOR)
    _add(scores, "METEOR", why, lambda: java.meteor(candidates, right)[0])
    why = "not asked for" if not spice else java.missing(java.SPICE, *java.SPICE_MODELS)
    _add(scores, "SPICE", why, lambda: float(np.mean(java.spice(candidates, right))))
    if "SPICE" in scores.corpus:
        scores.corpus["SPIDEr"] = (scores.corpus["CIDEr"] + scores.corpus["SPICE"]) / 2
    return scores


def _add(scores: CaptionScores, name: str, why_not: str, compute: Callable[[], float]) -> None:
    """Add a score of a Java program, or the reason why there is none."""
    if not why_not:
        try:
            scores.corpus[name] = compute()
            return
        except (DataError, OSError, ValueError, KeyError) as error:
            why_not = f"its program failed ({error})"
    scores.notes.append(f"{name} left out: {why_not}")


def item_scores(
    replies: Sequence[str], references: Sequence[Sequence[str]], metric: Literal["cider", "bleu_4", "rouge_l"]
) -> np.ndarray:
    """One score of every caption, by the tokeniser in Python; CIDEr takes all of them as its corpus.

    Args:
        replies: One caption an item; may be empty.
        references: The right captions of each item, at least one.
        metric: CIDEr-D, BLEU-4 or ROUGE-L.

    Raises:
        MissingExtraError: pycocoevalcap is not installed.
    """
    bleu, cider, rouge = _scorers()
    hypotheses = {n: [text] for n, text in enumerate(tokenize(replies, "python"))}
    rest = iter(tokenize([reference for refs in references for reference in refs], "python"))
    right = {n: [next(rest) for _ in refs] for n, refs in enumerate(references)}
    if metric == "bleu_4":
        with contextlib.redirect_stdout(io.StringIO()):
            _, by_item = bleu(4).compute_score(right, hypotheses)
        return np.asarray(by_item[3], float)
    scorer = cider() if metric == "cider" else rouge()
    return np.asarray(scorer.compute_score(right, hypotheses)[1], float)


def _scorers() -> tuple[Any, Any, Any]:
    try:
        from pycocoevalcap.bleu.bleu import Bleu
        from pycocoevalcap.cider.cider import Cider
        from pycocoevalcap.rouge.rouge import Rouge
    except ImportError as error:
        raise MissingExtraError("caption metrics", "pycocoevalcap", "scoring") from error
    return Bleu, Cider, Rouge


def _python_scores(candidates: list[str], right: list[list[str]]) -> tuple[dict[str, float], np.ndarray]:
    bleu_score, cider_score, rouge_score = _scorers()
    hypotheses = {n: [text] for n, text in enumerate(candidates)}
    references = dict(enumerate(right))
    with contextlib.redirect_stdout(io.StringIO()):  # BLEU prints its lengths
        bleu, _ = bleu_score(4).compute_score(references, hypotheses)
    rouge, _ = rouge_score().compute_score(references, hypotheses)
    cider, by_item = cider_score().compute_score(references, hypotheses)
    corpus = {f"Bleu_{n}": float(value) for n, value in enumerate(bleu, 1)}
    return corpus | {"ROUGE_L": float(rouge), "CIDEr": float(cider)}, np.asarray(by_item, float)
