"""Yes or no out of a reply, as the official scorers find it; they differ on purpose-made replies.

Source: AoiDragon/POPE, evaluate.py; MME, eval_tool/calculation.py.
"""


def pope(reply: str) -> bool:
    """POPE's rule: what stands before the first period says no if `No`, `no` or `not` is a word of it, else yes."""
    words = reply.split(".", 1)[0].replace(",", "").split(" ")
    return not ({"No", "no", "not"} & set(words))


def mme(reply: str) -> str:
    """MME's rule: the whole lower-cased reply, else `yes`, else `no` among its first four characters, else `other`."""
    lower = reply.lower()
    if lower in ("yes", "no"):
        return lower
    start = lower[:4]
    return "yes" if "yes" in start else "no" if "no" in start else "other"
