"""Words and media in one turn."""

import numpy as np

from modalink.conversation import Medium, Text
from modalink.evaluation.question import PreparedQuestion, text_below_media

PICTURE = Medium("image", np.zeros((2, 2, 3), np.uint8))


def test_words_stand_below_media():
    assert text_below_media([PICTURE, PICTURE, Text("What?")]) == (PICTURE, PICTURE, Text("\nWhat?"))
    assert text_below_media([Text("Before"), PICTURE, Text("\nafter"), Text(" it")]) == (
        Text("Before"), PICTURE, Text("\nafter"), Text(" it"),
    )  # fmt: skip
    assert text_below_media([Text("What?")]) == (Text("What?"),)


def test_a_conversation_is_called_after_its_question():
    talk = PreparedQuestion("17", "Why?").conversation()
    assert talk.id == "question 17" and talk.turns[0].role == "user" and talk.turns[0].text == "Why?"
