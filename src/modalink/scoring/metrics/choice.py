"""The option that a reply chose, as the official scorers of multiple-choice benchmarks find it.

Source: haotian-liu/LLaVA, llava/eval/eval_science_qa.py (`science_qa`); open-compass/VLMEvalKit,
vlmeval/utils/matching_util.py (`by_letter`, `by_text`).
"""

import re
from collections.abc import Mapping

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
NONE_OF_THEM = "Z"
REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)

_THE_ANSWER_IS = re.compile(r"The answer is ([A-Z]).")
_ANSWER_IS = re.compile(r"(?i)(?:correct\s+)?answer\s+is\s+\**([ABCD])\**")
_MARKS = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))


def science_qa(reply: str) -> str | None:
    """LLaVA's rule: a letter A to E alone or before `. `, else the one `The answer is X.`, else nothing."""
    if reply in set("ABCDE"):
        return reply
    if len(reply) >= 3 and reply[0] in "ABCDE" and reply[1:3] == ". ":
        return reply[0]
    letters = _THE_ANSWER_IS.findall(reply)
    return letters[0] if len(letters) == 1 else None


def by_letter(reply: str, choices: Mapping[str, str], verbose: bool = True) -> str | None:
    """VLMEvalKit's first rule: exactly one option letter among the words, and it among the last four.

    Args:
        reply: The model's reply.
        choices: Option letter -> its text.
        verbose: Whether "the answer is X" counts too, as in its newer versions.

    Returns:
        A letter, `Z` where the reply refuses, None where nothing was found.
    """
    if "Failed to obtain answer via API" in reply:
        return None
    if any(refusal in reply for refusal in REFUSALS):
        return NONE_OF_THEM
    words = reply.translate(_MARKS).split()
    there = [letter for letter in choices if letter in words]
    if len(there) == 1 and words.index(there[0]) > len(words) - 5:
        return there[0]
    if not there and NONE_OF_THEM in words:
        return NONE_OF_THEM
    match = _ANSWER_IS.search(reply) if verbose else None
    return match[1].upper() if match and match[1].upper() in choices else None


def by_text(reply: str, choices: Mapping[str, str]) -> str | None:
    """VLMEvalKit's second rule: exactly one option's text is part of the reply, which is not much longer than all."""
    lower = reply.lower()
    if len(lower) > 2 * sum(map(len, choices.values())):
        return None
    there = [letter for letter, text in choices.items() if text.lower() in lower]
    return there[0] if len(there) == 1 else None


def choose(reply: str, choices: Mapping[str, str], verbose: bool = True) -> str | None:
    """VLMEvalKit's rules in their order; None where a judge, or nobody, must decide."""
    return by_letter(reply, choices, verbose) or by_text(reply, choices)
