"""Equality of a reply and the right answer, strict or relaxed.

Source: MILVLG/activitynet-qa and lupantech/IconQA (strict); ChartQA, Masry et al. 2022, section 5.1 (relaxed).
"""


def exact(reply: str, gold: str) -> bool:
    """Whether the texts are the same, character by character."""
    return reply == gold


def caseless(reply: str, gold: str) -> bool:
    """Whether the texts are the same but for case and space around them."""
    return reply.strip().lower() == gold.strip().lower()


def relaxed(reply: str, gold: str, tolerance: float = 0.05) -> bool:
    """Whether two numbers differ by no more than a share of the right one; texts must be equal but for case.

    A percent sign divides by 100. A right answer of zero, having no share, is compared as text.
    """
    number, right = _number(reply), _number(gold)
    if number is not None and right:
        return abs(number - right) / abs(right) <= tolerance
    return reply.lower() == gold.lower()


def _number(text: str) -> float | None:
    try:
        return float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None
