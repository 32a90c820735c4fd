"""Word error rate."""

from collections.abc import Sequence

from modalink.errors import MissingExtraError


def word_errors(reply: str, gold: str) -> tuple[int, int]:
    """Word edits between a transcript and the right one, and the number of words of the right one.

    The rate of a corpus is the sum of the first over the sum of the second. Nothing is normalised.

    Raises:
        MissingExtraError: jiwer is not installed.
    """
    try:
        import jiwer
    except ImportError as error:
        raise MissingExtraError("the word error rate", "jiwer", "scoring") from error
    if not gold.split():
        return len(reply.split()), 0
    alignment = jiwer.process_words(gold, reply)
    return alignment.substitutions + alignment.deletions + alignment.insertions, len(gold.split())


def rate(pairs: Sequence[tuple[int, int]]) -> float:
    """The word error rate of a corpus from its `word_errors`."""
    return sum(edits for edits, _ in pairs) / sum(words for _, words in pairs)
