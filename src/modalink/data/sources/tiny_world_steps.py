"""The zoo's tiny world as replies in steps: each step tells of one object of a picture, rightly or wrongly."""

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from modalink import tiny_world
from modalink.data.source import Numbered
from modalink.data.sources._tiny_world_judged import TinyWorldJudgedConfig
from modalink.data.steps import Stepped
from modalink.tiny_world import Scene, WorldObject
from modalink.tiny_world.media import user_turn
from modalink.tiny_world.scenes import changed


class TinyWorldStepsConfig(TinyWorldJudgedConfig):
    """Settings of tiny-world replies in steps."""

    kind: Literal["tiny_world_steps"] = "tiny_world_steps"
    separator: Annotated[str, Field(min_length=1)] = "\n\n"
    """What stands behind each step, where its worth is read."""
    wrong: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of steps of which the shape, the colour or the size is another than in the picture."""

    def open(self) -> "TinyWorldSteps":
        """The replies."""
        return TinyWorldSteps(self)


class TinyWorldSteps(Numbered):
    """Replies in steps, each a function of split, seed and number."""

    def __init__(self, config: TinyWorldStepsConfig) -> None:
        self._config = config

    def __len__(self) -> int:
        return self._config.count

    def sample(self, index: int) -> Stepped:
        """The reply of a number."""
        config = self._config
        rng = config.rng(index, 2)
        scene = tiny_world.sample_scene(int(rng.integers(2**31)), config.split)
        right = [bool(rng.random() >= config.wrong) for _ in scene.objects]
        told = [item if good else self._wrong(item, rng) for item, good in zip(scene.objects, right, strict=True)]
        steps = [tiny_world.describe(replace(scene, objects=(item,))) for item in told]
        asked = user_turn((tiny_world.Shown.of("image", scene),), tiny_world.caption_request(rng))
        found = Stepped.of([asked], steps, [float(good) for good in right], config.separator, config.id(index))
        return replace(found, facts=_facts(scene))

    def _wrong(self, item: WorldObject, rng: np.random.Generator) -> WorldObject:
        """An object as it is not; none of another split than training's is told of."""
        while tiny_world.split_of(other := changed(item, rng)) not in (self._config.split, "train"):
            pass
        return other


def _facts(scene: Scene) -> dict[str, object]:
    return {"objects": [vars(item) for item in scene.objects], "captions": [tiny_world.describe(scene)]}
