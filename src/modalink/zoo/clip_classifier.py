"""A small network that reads a clip of the tiny world back into its actors, to score clips that were made."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from modalink.modalities.video import VideoHandle, open_video
from modalink.tiny_world.clips.actors import ACTIONS, PLACES, WHENS, Actor
from modalink.tiny_world.clips.animation import FRAMES
from modalink.tiny_world.rendering import SIDE_PX
from modalink.tiny_world.scenes import COLOURS, SHAPES, SIZES
from modalink.zoo import _classifier

LOOKS = (len(SHAPES), len(COLOURS), len(SIZES))
ACTS = (2, len(ACTIONS), len(WHENS))
WIDTH_PX = 36
_LEFT_PX = {"center": 14, "left": 0, "right": 28}
"""Where the part of the frames begins that a place's actor never leaves."""
_BRIGHT, _SOFT = 130.0, 15.0


class ClipClassifierNet(nn.Module):
    """Looks at the three places one by one: at single frames for looks, and at what is bright in all of them for acts.

    What is bright has no colour, so that no act is guessed from the colours that it came with in training.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.width = width
        self.frame = nn.Sequential(*_block(3, width, 5), *_block(width, 2 * width, 3), *_block(2 * width, 4 * width, 3))
        self.looks = nn.Sequential(nn.Linear(4 * width, 4 * width), nn.SiLU(), nn.Linear(4 * width, sum(LOOKS)))
        self.moves = nn.Sequential(
            *_block(FRAMES, 2 * width, 5),
            *_block(2 * width, 3 * width, 3),
            *_block(3 * width, 3 * width, 3),
            nn.Flatten(),
        )
        size = 3 * width * (SIDE_PX // 8) * -(-WIDTH_PX // 8)
        self.acts = nn.Sequential(nn.Linear(size, 6 * width), nn.SiLU(), nn.Linear(6 * width, sum(ACTS)))

    def forward(self, frames: Float[Tensor, "b f 3 64 36"]) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b j"]]:
        """Logits of shape, colour and size, and of presence, action and when, of the actor of one place.

        Args:
            frames: What `at` gives, values from 0 to 255.
        """
        return self.look(frames), self.act(frames)

    def look(self, frames: Float[Tensor, "b f 3 64 36"]) -> Float[Tensor, "b k"]:
        """Logits of shape, colour and size, of any number of frames."""
        states = self.frame(frames.flatten(0, 1) / 127.5 - 1).amax((2, 3))
        logits: Tensor = self.looks(states.unflatten(0, frames.shape[:2]).amax(1))
        return logits

    def act(self, frames: Float[Tensor, "b f 3 64 36"]) -> Float[Tensor, "b j"]:
        """Logits of presence, action and when, of all frames."""
        bright = ((frames.amax(2) - _BRIGHT) / _SOFT).sigmoid()
        logits: Tensor = self.acts(self.moves(bright))
        return logits


class ClipClassifier(_classifier.Classifier[ClipClassifierNet]):
    """Reads clips back into actors with a trained network."""

    part = "clip_classifier"
    network = ClipClassifierNet

    @torch.no_grad()
    def __call__(self, clips: Sequence[VideoHandle]) -> list[list[Actor]]:
        """Name the actors of each clip in the order in which they act; clips are looked at in as many frames."""
        return [self._actors(_seen(clip)) for clip in clips]

    def _actors(self, frames: UInt8[np.ndarray, "f 64 64 3"]) -> list[Actor]:
        looks, acts = self.net(torch.stack([at(frames, place) for place in PLACES]))
        found = []
        for i, place in enumerate(PLACES):
            shape, colour, size = _likeliest(looks[i], LOOKS)
            here, action, when = _likeliest(acts[i], ACTS)
            if here:
                found.append(Actor(SHAPES[shape], COLOURS[colour], SIZES[size], ACTIONS[action], WHENS[when], place))
        return sorted(found, key=lambda actor: WHENS.index(actor.when))


def at(frames: UInt8[np.ndarray, "f 64 64 3"], place: str) -> Float[Tensor, "f 3 64 36"]:
    """The part of frames where the actor of a place is."""
    left = _LEFT_PX[place]
    return torch.from_numpy(frames[:, :, left : left + WIDTH_PX].copy()).permute(0, 3, 1, 2).float()


def _seen(clip: VideoHandle) -> UInt8[np.ndarray, "f 64 64 3"]:
    opened = open_video(clip)
    times = [number * opened.duration_s / FRAMES for number in range(FRAMES)]
    side = (SIDE_PX, SIDE_PX)
    return np.stack([np.asarray(image.convert("RGB").resize(side), np.uint8) for image in opened.frames(times)])


def _likeliest(logits: Float[Tensor, " k"], sizes: Sequence[int]) -> list[int]:
    return [int(part.argmax()) for part in logits.split(list(sizes))]


def _block(inputs: int, outputs: int, kernel: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, kernel, stride=2, padding=kernel // 2), nn.GroupNorm(8, outputs), nn.SiLU()]
