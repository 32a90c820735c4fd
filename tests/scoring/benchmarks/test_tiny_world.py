"""The tiny world's questions, shown and told."""

from modalink.evaluation.dataset import open_dataset


def test_questions_in_words_are_the_same_questions_without_pictures():
    shown = open_dataset("tiny-world", options={"count": 18}).questions
    told = open_dataset("tiny-world", options={"count": 18, "shown": "words"}).questions
    assert [(q.id, q.gold) for q in shown] == [(q.id, q.gold) for q in told]
    assert all(q.media.startswith("data:") for q in shown) and not any(q.media for q in told)
    for one, other in zip(shown, told, strict=True):
        description, _, question = other.text.partition("\n")
        assert question == one.text and description
