"""Draws clips of the tiny world, frame by frame with the strokes of its pictures."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import UInt8

from modalink.tiny_world.clips.actors import Actor, ClipScene
from modalink.tiny_world.rendering import PLAIN, RADIUS_PX, RGB, SIDE_PX, background, quantise, stamp

FRAMES = 8
FPS = 4.0
_HOME_PX = {"center": 32.0, "left": 17.0, "right": 47.0}
_STEP_PX = 6.5
_TURN = np.pi / 2
_SCALE = 0.55
"""Size of an object that has shrunk, or has not grown yet, compared with what it is."""


@dataclass(frozen=True)
class State:
    """Where an actor is in one frame, in pixels; `radius` is 0 where it is not seen. `acting`: something changes."""

    x: float
    y: float
    radius: float
    angle: float
    acting: bool


def states_of(clip: ClipScene) -> list[list[State]]:
    """What every actor looks like in every frame."""
    rng = np.random.default_rng(clip.background)
    shifts = rng.uniform(-2.0, 2.0, (len(clip.actors), 2))
    scales = rng.uniform(0.94, 1.06, len(clip.actors))
    return [
        [_state(actor, frame, shift, scale) for frame in range(FRAMES)]
        for actor, shift, scale in zip(clip.actors, shifts, scales, strict=True)
    ]


def animate(clip: ClipScene) -> UInt8[np.ndarray, "8 64 64 3"]:
    """Draw a clip of `FRAMES` frames at `FPS`; the same clip always gives the same frames, RGB in 0..255."""
    rng = np.random.default_rng([clip.background, 1])
    ground = background(rng)
    colours = [np.asarray(RGB[a.colour], np.float32) + rng.uniform(-10, 10, 3).astype(np.float32) for a in clip.actors]
    frames = [ground.copy() for _ in range(FRAMES)]
    for actor, colour, states in zip(clip.actors, colours, states_of(clip), strict=True):
        for canvas, state in zip(frames, states, strict=True):
            if state.radius:
                style = replace(PLAIN, angle=state.angle)
                stamp(canvas, actor.shape, (state.x, state.y), state.radius, colour, style)
    return np.stack([quantise(canvas) for canvas in frames])


def _state(actor: Actor, frame: int, shift: np.ndarray, scale: float) -> State:
    start, stop = {"slowly": (0, FRAMES), "then": (FRAMES // 2, FRAMES)}.get(actor.when, (0, FRAMES // 2))
    done = float(np.clip((frame - start) / (stop - 1 - start), 0, 1))
    acting = start <= frame < stop and actor.action != "rests"
    still = State(_HOME_PX[actor.place] + shift[0], SIDE_PX / 2 + shift[1], RADIUS_PX[actor.size] * scale, 0.0, acting)
    way = (2 * done - 1) * _STEP_PX
    match actor.action:
        case "moves leftward":
            return replace(still, x=still.x - way)
        case "moves rightward":
            return replace(still, x=still.x + way)
        case "rises":
            return replace(still, y=still.y - 2 * way)
        case "falls":
            return replace(still, y=still.y + 2 * way)
        case "grows":
            return replace(still, radius=still.radius * (_SCALE + (1 - _SCALE) * done))
        case "shrinks":
            return replace(still, radius=still.radius * (1 - (1 - _SCALE) * done))
        case "turns":
            return replace(still, angle=_TURN * done)
        case "appears":
            return replace(still, radius=still.radius if done >= 0.5 else 0.0)
        case "vanishes":
            return replace(still, radius=still.radius if done < 0.5 else 0.0)
        case "blinks":
            return replace(still, radius=0.0 if acting and (frame - start) % 2 else still.radius)
    return still
