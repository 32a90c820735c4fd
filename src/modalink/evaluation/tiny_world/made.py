"""Requests for media of the tiny world that no classifier judges yet: what is made of them is shown."""

from collections.abc import Iterable

from modalink import modalities
from modalink.evaluation.examples import of_reply
from modalink.evaluation.replies import replies
from modalink.evaluation.tiny_world.ask import conversation_about
from modalink.evaluation.tiny_world.examples import Example
from modalink.model import System
from modalink.tiny_world import WORLDS


def makes(outputs: Iterable[str]) -> list[str]:
    """What a system with these outputs is asked for here: things of the world, but not drawings, which are judged."""
    return [modality for modality in outputs if modality in WORLDS and modality != "image"]


def ask(system: System, modality: str, split: str, count: int, seed: int) -> list[Example]:
    """Ask for things of a modality by their canonical captions, in the words of its record."""
    world, first, words = WORLDS[modality], seed * 1_000_000, modalities.get(modality).make
    wanted = [world.describe(world.sample(first + number, split)) for number in range(count)]
    prompts = [words[n % len(words)].format(modality=modality, caption=text) for n, text in enumerate(wanted)]
    answers = replies(system, [conversation_about(None, prompt) for prompt in prompts], media=count)
    return [
        Example("made", modality, "", prompt, reply.text, text, None, made=tuple(of_reply(reply)))
        for prompt, text, reply in zip(prompts, wanted, answers, strict=True)
    ]
