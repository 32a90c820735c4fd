"""What is left of the accuracy when other code draws the pictures."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice

from modalink.evaluation.tiny_world import renderers
from modalink.evaluation.tiny_world.ask import answer_questions
from modalink.evaluation.tiny_world.examples import Example, Task, thumbnail
from modalink.evaluation.tiny_world.questions import AnsweredQuestion
from modalink.evaluation.tiny_world.shares import Number, Ratio, Share
from modalink.model import System
from modalink.tiny_world import render


def answers_by_renderer(system: System, clean: Sequence[AnsweredQuestion]) -> dict[str, list[AnsweredQuestion]]:
    """Ask the same questions about the same scenes, drawn by every other renderer.

    Args:
        system: The system.
        clean: What it answered about the world's own pictures.

    Returns:
        Name of the renderer -> answers, in the same order.
    """
    asked = [answered.asked for answered in clean]
    return {
        name: answer_questions(system, asked, partial(renderers.render_by, renderer=renderer))
        for name, renderer in renderers.RENDERERS.items()
    }


def score(
    clean: Sequence[AnsweredQuestion], answers_by_renderer: Mapping[str, Sequence[AnsweredQuestion]]
) -> dict[str, Number]:
    """The accuracy with the world's own pictures and with every renderer's, and how much of it each keeps."""
    right = [answered.right for answered in clean]
    shares: dict[str, Number] = {"robustness.clean": Share.total((one, 1) for one in right)}
    for name, answered in answers_by_renderer.items():
        other = [one.right for one in answered]
        shares[f"robustness.vqa.{name}"] = Share.total((one, 1) for one in other)
        shares[f"robustness.kept.{name}"] = Ratio.paired(other, right)
    return shares


def cases(
    clean: Sequence[AnsweredQuestion], answers_by_renderer: Mapping[str, Sequence[AnsweredQuestion]]
) -> list[Example]:
    """The fullest scene as every renderer draws it, the world's own first, and for each one answer that it lost."""
    fullest = max(range(len(clean)), key=lambda i: len(clean[i].asked.scene.objects))
    drawn = [_case("renderer", "own", clean[fullest])]
    drawn += [_case("renderer", name, answered[fullest]) for name, answered in answers_by_renderer.items()]
    shown: set[int] = set()
    for name, answered in answers_by_renderer.items():
        lost = (i for i, own in enumerate(clean) if own.right and not answered[i].right and i not in shown)
        for i in islice(lost, 1):
            shown.add(i)
            drawn.append(_case("lost", name, answered[i]))
    return drawn


def _case(task: Task, name: str, item: AnsweredQuestion) -> Example:
    scene, question, renderer = item.asked.scene, item.asked.question, renderers.RENDERERS.get(name)
    picture = thumbnail(renderers.render_by(scene, renderer) if renderer else render(scene))
    note = renderer.what if renderer else "the tiny world's own code"
    return Example(task, name, picture, question.text, item.reply, question.answer, item.right, note)
