"""Things of the tiny world as media of a conversation."""

from collections.abc import Callable, Sequence
from typing import Any

from modalink.conversation import Medium, Text, Turn
from modalink.modalities.audio import Sound as Samples
from modalink.modalities.points import Cloud
from modalink.modalities.video import Clip
from modalink.tiny_world.clips.animation import FPS, animate
from modalink.tiny_world.rendering import render
from modalink.tiny_world.solids.bodies import Bodies
from modalink.tiny_world.solids.sculpting import sculpt
from modalink.tiny_world.sounds.synthesis import RATE_HZ, play
from modalink.tiny_world.worlds import WORLDS, Shown, Thing


def _cloud(bodies: Bodies) -> Cloud:
    points = sculpt(bodies)
    return Cloud(points[:, :3], points[:, 3:])


SHOW: dict[str, Callable[[Thing], Any]] = {
    "image": render,
    "video": lambda clip: Clip.of(animate(clip), fps=FPS),
    "audio": lambda sound: Samples(play(sound), RATE_HZ),
    "points": _cloud,
}
"""Modality -> what it reads of a thing."""


def medium(shown: Shown) -> Medium:
    """A thing as a conversation's medium, which remembers its canonical description."""
    return Medium(shown.modality, SHOW[shown.modality](shown.thing), WORLDS[shown.modality].describe(shown.thing))


def user_turn(shown: Sequence[Shown], text: str) -> Turn:
    """What the user shows and says: the media one below the other, where the text-only dialogues have descriptions."""
    media = [part for thing in shown for part in (medium(thing), Text("\n"))]
    return Turn("user", (*media[:-1], Text("\n" * bool(shown) + text)))
