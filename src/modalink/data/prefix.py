"""Prefix language modelling: a reply is cut at a random place; its beginning is read, the rest is learned.

Sources: BLIP-2 with encoder-decoders (arXiv 2301.12597, section 3.3); where it is cut as in yiren-jian/BLIText,
lavis/models/blip2_models/pformer_t5.py. Differs in that a word is always left to learn.
"""

import random
import re
from dataclasses import replace

from modalink.conversation import Conversation, Text

_WORD = re.compile(r"\S+")


def begun(conversation: Conversation, seed: int | None = None) -> Conversation:
    """A conversation of whose last reply the beginning is only read.

    Of n words the first k are read, and k is drawn from 1 to n // 2 + 1, and less than n. The cut is made in the first
    text of the reply that has two words; if none has, all is learned.

    Args:
        conversation: The conversation; nothing is done to one that does not end with a reply with loss.
        seed: Decides the place, with the conversation's id.
    """
    *before, last = conversation.turns
    if last.role != "assistant" or not last.loss:
        return conversation
    for number, piece in enumerate(last.content):
        if not isinstance(piece, Text) or not piece.loss:
            continue
        ends = [word.end() for word in _WORD.finditer(piece.text)]
        if len(ends) > 1:
            name = f"{seed}/{conversation.id}".encode("utf-8", "surrogatepass")
            count = min(random.Random(name).randint(1, len(ends) // 2 + 1), len(ends) - 1)
            text = piece.text[: ends[count - 1]]
            cut = (Text(text, loss=False), Text(piece.text[len(text) :]))
            content = (*last.content[:number], *cut, *last.content[number + 1 :])
            return replace(conversation, turns=(*before, replace(last, content=content)))
    return conversation
