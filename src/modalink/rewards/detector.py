"""Whether a detector finds in a picture what it should show."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from PIL import Image
from pydantic import Field
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForObjectDetection,
    AutoModelForZeroShotObjectDetection,
)
from transformers import AutoProcessor as AutoAnyProcessor
from transformers.models.auto.modeling_auto import MODEL_FOR_ZERO_SHOT_OBJECT_DETECTION_MAPPING

from modalink import hub, modalities
from modalink.errors import DataError, shown
from modalink.rewards import Answered, Judgement, Reward, RewardConfig
from modalink.rewards._texts import listed


class DetectorConfig(RewardConfig):
    """The share of the wanted objects that a detector finds in the last picture: each as often as it is wanted."""

    kind: Literal["detector"] = "detector"
    checkpoint: str
    """Folder or hub id of an object detector of transformers: one of fixed classes (DETR, YOLOS, RT-DETR), or one that
    finds what it is told (OWL-ViT, Grounding DINO)."""
    revision: str | None = None
    """Commit or tag of a hub checkpoint."""
    fact: str = "objects"
    """Fact of the record that says what should be there: a name, a list of names, or a mapping from names to how
    many."""
    of: Literal["made", "shown"] = "made"
    """The picture that the reply made, or the one that was shown."""
    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Score from which a detection counts."""
    exact: bool = False
    """Whether an object that is found more often than it is wanted is not right either."""

    def tiny(self) -> RewardConfig:
        """There is none: no detector ships."""
        return super(RewardConfig, self).tiny()  # type: ignore[return-value]

    def build(self, device: str = "cpu") -> Reward:
        """The reward; the detector is loaded when it is first asked.

        Raises:
            PartError: There is no such checkpoint, or it is no detector.
        """
        return Finds(self, device)


@dataclass(frozen=True)
class Finds(Reward):
    """Looks for objects in pictures."""

    config: DetectorConfig
    device: str

    @cached_property
    def told(self) -> bool:
        """Whether the detector finds what it is told, and has no classes of its own."""
        folder = hub.locate(self.config.checkpoint, self.config.revision, weights=False)
        return type(hub.read(AutoConfig, folder)) in MODEL_FOR_ZERO_SHOT_OBJECT_DETECTION_MAPPING

    @cached_property
    def model(self) -> Any:
        """The detector."""
        kind = AutoModelForZeroShotObjectDetection if self.told else AutoModelForObjectDetection
        found = hub.load(kind, self.config.checkpoint, revision=self.config.revision, dtype="float32")
        return found.to(self.device).requires_grad_(False)

    @cached_property
    def processor(self) -> Any:
        """What makes its inputs."""
        folder = hub.locate(self.config.checkpoint, self.config.revision, weights=False)
        return hub.read(AutoAnyProcessor if self.told else AutoImageProcessor, folder)

    def judge(self, answers: Sequence[Answered]) -> list[Judgement]:
        return [self._one(answer) for answer in answers]

    def _one(self, answer: Answered) -> Judgement:
        wanted = counts(answer.facts.get(self.config.fact), answer.conversation.id)
        if not wanted:
            return Judgement.lacking(self.config.fact)
        pictures = getattr(answer, self.config.of)("image")
        if not pictures:
            return Judgement(0.0, "there is no picture")
        picture = modalities.get("image").read(pictures[-1])
        found = self.found(picture, [*wanted])
        right = [found[n] == count if self.config.exact else found[n] >= count for n, count in wanted.items()]
        seen = ", ".join(f"{count} {name}" for name, count in sorted(found.items())) or "nothing"
        return Judgement(sum(right) / len(right), f"found {seen}")

    def found(self, picture: Image.Image, names: Sequence[str]) -> Counter[str]:
        """How often the detector finds each kind of object.

        Args:
            picture: The picture.
            names: What a detector is told that has no classes of its own.
        """
        words = {"text": [list(names)]} if self.told else {}
        inputs = self.processor(images=picture, return_tensors="pt", **words).to(self.device)
        with torch.inference_mode():
            output = self.model(**inputs)
        sizes = torch.tensor([[picture.height, picture.width]])
        if not self.told:
            post = self.processor.post_process_object_detection
            (found,) = post(output, threshold=self.config.threshold, target_sizes=sizes)
            return Counter(_plain(self.model.config.id2label[int(label)]) for label in found["labels"])
        post = self.processor.post_process_grounded_object_detection
        (found,) = post(output, threshold=self.config.threshold, target_sizes=sizes, text_labels=[list(names)])
        return Counter(_plain(label) for label in found["text_labels"])


def counts(fact: Any, name: str) -> dict[str, int]:
    """How many of each object are wanted; nothing where no fact tells.

    Raises:
        DataError: The fact is something else.
    """
    if fact is None or fact == "":
        return {}
    if isinstance(fact, Mapping):
        found = {_plain(str(key)): value for key, value in fact.items()}
        if not all(isinstance(value, int) and value > 0 for value in found.values()):
            raise DataError(f"{name}: found the objects {shown(fact)}, needed how many of each, from 1")
        return found
    if not all(isinstance(one, str) for one in listed(fact)):
        raise DataError(f"{name}: found the objects {shown(fact)}, needed names, or a mapping from names to counts")
    return dict(Counter(_plain(one) for one in listed(fact)))


def _plain(name: str) -> str:
    return re.sub(r"[\s_]+", " ", name.strip().lower())
