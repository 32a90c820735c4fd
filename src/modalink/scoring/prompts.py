"""The lines that LLaVA and its successors add to a question, so that a short answer comes."""

from modalink.scoring.benchmark import Question
from modalink.scoring.metrics.choice import LETTERS

SHORT = "Answer the question using a single word or phrase."
LETTER = "Answer with the option's letter from the given choices directly."


def lettered(choices: tuple[str, ...]) -> str:
    """The options, one a line, with their letters."""
    return "\n".join(f"{letter}. {choice}" for letter, choice in zip(LETTERS, choices, strict=False))


def letter_prompt(question: Question) -> str:
    """The question, its options, and LLaVA's line that asks for a letter."""
    return f"{question.text}\n{lettered(question.choices)}\n{LETTER}"


def short_prompt(question: Question) -> str:
    """The question, and LLaVA's line that asks for a short answer."""
    return f"{question.text}\n{SHORT}"
