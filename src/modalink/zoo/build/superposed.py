"""Descriptions without order: the words of an object summed into single positions, laid out as encoders' tokens are."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from modalink.tiny_world.clips.actors import ClipScene
from modalink.tiny_world.clips.animation import FRAMES, states_of
from modalink.tiny_world.rendering import SIDE_PX
from modalink.tiny_world.scenes import Scene
from modalink.tiny_world.solids.bodies import Bodies
from modalink.tiny_world.sounds.notes import Sound
from modalink.tiny_world.sounds.synthesis import MAX_SECONDS, spans_s
from modalink.tiny_world.worlds import Shown

LAYOUTS = (4, 8)
"""Positions a side of the square grids in use."""
MOMENTS = 25
"""Positions of a sound, which share the two seconds of its window."""
SLICES, PATCHES = 4, 4
"""Slices in time of a clip, and patches a side of each."""
GROUPS = 32
"""Positions of a cloud of points, in no order."""
_KEPT = 0.8
_NOISE = 0.02

Slot = list[tuple[str, float]]


def lay_out(shown: Shown, side: int, rng: np.random.Generator) -> list[Slot]:
    """Write a thing as the positions of its encoder's tokens, each a weighted bag of words.

    A position tells of the parts of the thing that it overlaps, by the share of the overlap; at random it tells
    nothing, but of each part at least the best position tells.

    Args:
        shown: A picture in `side * side` positions in reading order; a sound in `MOMENTS`; a clip in `SLICES` times
            `PATCHES * PATCHES`; a cloud of points in `GROUPS`.
        side: Positions a side of a picture.
        rng: Source of what is left out, and of how loud a position is.
    """
    match shown.thing:
        case Scene():
            return _slots(*_patches_of(shown.thing, side), rng)
        case Sound():
            return _slots(*_moments_of(shown.thing), rng)
        case ClipScene():
            return _slots(*_slices_of(shown.thing), rng)
        case _:
            return _slots(*_groups_of(shown.thing, rng), rng)


def _slots(words: list[str], shares: list[Float[np.ndarray, " n"]], rng: np.random.Generator) -> list[Slot]:
    """Bags of the words of each part, given the share of each position that it fills."""
    count = len(shares[0])
    dropped = rng.random(count) > _KEPT
    for share in shares:
        dropped[int(rng.choice(np.flatnonzero(share >= share.max() - 1e-6)))] = False
    strength = rng.uniform(0.5, 1.2, count)
    slots: list[Slot] = []
    for i in range(count):
        slot: Slot = []
        for part, share in zip(words, shares, strict=True):
            if share[i] > 0.1 and not dropped[i]:
                slot += [(word, float(share[i] * strength[i])) for word in part.split()]
        slots.append(slot or [("nothing", float(strength[i]))])
    return slots


def _patches_of(scene: Scene, side: int) -> tuple[list[str], list[Float[np.ndarray, " n"]]]:
    words = [f"{item.size} {item.colour} {item.shape} {item.cell}" for item in scene.objects]
    return words, [np.outer(_overlap(o.row, side), _overlap(o.column, side)).ravel() for o in scene.objects]


def _moments_of(sound: Sound) -> tuple[list[str], list[Float[np.ndarray, " n"]]]:
    words = [f"{note.length} {note.pitch} {note.motion} {note.timbre} {note.ordinal}" for note in sound.notes]
    starts = np.arange(MOMENTS) * (MAX_SECONDS / MOMENTS)
    stops = starts + MAX_SECONDS / MOMENTS
    heard = [np.minimum(stops, end) - np.maximum(starts, start) for start, end in spans_s(sound)]
    return words, [part.clip(0) * (MOMENTS / MAX_SECONDS) for part in heard]


def _slices_of(clip: ClipScene) -> tuple[list[str], list[Float[np.ndarray, " n"]]]:
    words = [f"{a.size} {a.colour} {a.shape} {a.action} {a.when} {a.place}" for a in clip.actors]
    return words, [share.ravel() for share in cover(clip)]


def _groups_of(bodies: Bodies, rng: np.random.Generator) -> tuple[list[str], list[Float[np.ndarray, " n"]]]:
    words = [f"{b.size} {b.pose} {b.colour} {b.solid} {b.place}" for b in bodies.solids]
    owner = rng.permutation(np.arange(GROUPS) % len(bodies.solids))
    return words, [(owner == i).astype(float) for i in range(len(bodies.solids))]


def cover(clip: ClipScene) -> list[Float[np.ndarray, "slice row column"]]:
    """How much each patch of each slice shows of each actor, taken as a square: 1 is half of the patch or more."""
    edges = np.arange(PATCHES) * (SIDE_PX / PATCHES)
    step = SIDE_PX / PATCHES
    shares = []
    for states in states_of(clip):
        frames = []
        for state in states:
            spans = [
                (np.minimum(edges + step, middle + state.radius) - np.maximum(edges, middle - state.radius)).clip(0)
                for middle in (state.y, state.x)
            ]
            frames.append((2 * np.outer(*spans) / step**2).clip(0, 1))
        shares.append(np.stack(frames).reshape(SLICES, FRAMES // SLICES, PATCHES, PATCHES).mean(1))
    return shares


def _overlap(cell: int, side: int) -> Float[np.ndarray, " side"]:
    """Share of each of `side` equal intervals that lies in one of three equal intervals."""
    starts = np.arange(side) / side
    length = np.minimum(starts + 1 / side, (cell + 1) / 3) - np.maximum(starts, cell / 3)
    share: np.ndarray = np.clip(length, 0, None) * side
    return share


class Slots:
    """Superposed positions of a batch, to be filled into its embeddings."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        self._places: list[tuple[int, int]] = []
        self._bags: list[Slot] = []

    def add(self, row: int, start: int, slots: list[Slot]) -> None:
        """Put bags of words at the positions from `start` of a row."""
        self._places += [(row, start + i) for i in range(len(slots))]
        self._bags += slots

    def fill(self, embedding: nn.Module, ids: Tensor) -> Tensor:
        """Embed ids [b, t]; each superposed position becomes the weighted sum of its words' embeddings."""
        embeds: Tensor = embedding(ids)
        if not self._bags:
            return embeds
        words = {word: self._tokenizer.convert_tokens_to_ids("Ġ" + word) for bag in self._bags for word, _ in bag}
        number = {word: i for i, word in enumerate(words)}
        weights = np.zeros((len(self._bags), len(words)), np.float32)
        for row, bag in zip(weights, self._bags, strict=True):
            for word, weight in bag:
                row[number[word]] += weight
        sums = (torch.from_numpy(weights) @ embedding(torch.tensor(list(words.values())))).to(embeds.dtype)
        rows, columns = torch.tensor(self._places).T
        return embeds.index_put((rows, columns), sums + _NOISE * torch.randn_like(sums))
