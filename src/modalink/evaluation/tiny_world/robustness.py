"""What is left of the accuracy when other code draws the pictures."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice

from modalink.evaluation.tiny_world import renderers
from modalink.evaluation.tiny_world.ask import answers
from modalink.evaluation.tiny_world.examples import Example, Task, thumbnail
from modalink.evaluation.tiny_world.questions import AnsweredQuestion
from modalink.evaluation.tiny_world.shares import Number, Ratio, Share
from modalink.model import System
from modalink.tiny_world import render


def by_hand(system: System, clean: Sequence[AnsweredQuestion]) -> dict[str, list[AnsweredQuestion]]:
    """Ask the same questions about the same scenes, drawn by every foreign hand.

    Args:
        system: The system.
        clean: What it answered about the world's own pictures.

    Returns:
        Name of the hand -> answers, in the same order.
    """
    asked = [answered.asked for answered in clean]
    return {name: answers(system, asked, partial(renderers.draw, hand=hand)) for name, hand in renderers.HANDS.items()}


def score(clean: Sequence[AnsweredQuestion], by_hand: Mapping[str, Sequence[AnsweredQuestion]]) -> dict[str, Number]:
    """The accuracy with the world's own pictures and with every hand's, and how much of it each hand keeps."""
    right = [answered.right for answered in clean]
    found: dict[str, Number] = {"robustness.clean": Share.total((one, 1) for one in right)}
    for name, answered in by_hand.items():
        other = [one.right for one in answered]
        found[f"robustness.vqa.{name}"] = Share.total((one, 1) for one in other)
        found[f"robustness.kept.{name}"] = Ratio.paired(other, right)
    return found


def cases(clean: Sequence[AnsweredQuestion], by_hand: Mapping[str, Sequence[AnsweredQuestion]]) -> list[Example]:
    """The fullest scene as every hand draws it, the world's own first, and for each hand one answer that it lost."""
    fullest = max(range(len(clean)), key=lambda i: len(clean[i].asked.scene.objects))
    drawn = [_case("hand", "own", clean[fullest])]
    drawn += [_case("hand", name, answered[fullest]) for name, answered in by_hand.items()]
    shown: set[int] = set()
    for name, answered in by_hand.items():
        lost = (i for i, own in enumerate(clean) if own.right and not answered[i].right and i not in shown)
        for i in islice(lost, 1):
            shown.add(i)
            drawn.append(_case("lost", name, answered[i]))
    return drawn


def _case(task: Task, name: str, item: AnsweredQuestion) -> Example:
    scene, question, hand = item.asked.scene, item.asked.question, renderers.HANDS.get(name)
    picture = thumbnail(renderers.draw(scene, hand) if hand else render(scene))
    note = hand.what if hand else "the tiny world's own code"
    return Example(task, name, picture, question.text, item.reply, question.answer, item.right, note)
