"""Which objects a detector that the user names finds in pictures, and which colour they are taken for.

Source: the colours as in djghosh13/geneval, evaluation/evaluate_images.py: the words that are nearest to a crop.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForObjectDetection,
    AutoModelForZeroShotObjectDetection,
    AutoTokenizer,
    ObjectDetectionPipeline,
    ZeroShotObjectDetectionPipeline,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_ZERO_SHOT_OBJECT_DETECTION_MAPPING_NAMES

from modalink import hub, modalities
from modalink.errors import OptionError, PartError
from modalink.evaluation.answer_file import AnswerFile
from modalink.evaluation.made.extracting import OnTask, identity
from modalink.evaluation.media_features import HubEncoder
from modalink.hub.embedding import unit
from modalink.scoring.benchmark import Question
from modalink.scoring.benchmarks.geneval import DETECTIONS
from modalink.scoring.made_media import MadeMedium
from modalink.scoring.metrics.objects import COLOURS, Wanted

LEAST = 0.05
"""How sure a detector must be for an object to be written down."""
ALIASES = {"tv remote": "remote", "computer mouse": "mouse", "computer keyboard": "keyboard"}
"""GenEval's names of classes that detectors of COCO call otherwise."""
TEMPLATES = ("a photo of a {colour} {name}", "a photo of a {colour}-colored {name}", "a photo of a {colour} object")


class Detector:
    """Finds objects in pictures.

    Args:
        checkpoint: Folder or hub id of a detector of transformers: of classes, or of any words.
        device: Where to compute.

    Raises:
        PartError: It cannot be loaded.
    """

    def __init__(self, checkpoint: str, device: str = "cpu") -> None:
        self.checkpoint, self.device = checkpoint, device
        config = hub.read(AutoConfig, hub.locate(checkpoint, weights=False))
        self.reads_words = config.model_type in MODEL_FOR_ZERO_SHOT_OBJECT_DETECTION_MAPPING_NAMES
        self.labels = {str(label).lower(): str(label) for label in (config.id2label or {}).values()}

    def check(self, names: Sequence[str]) -> None:
        """Refuse classes that it does not know.

        Raises:
            OptionError: There are some.
        """
        unknown = [] if self.reads_words else [name for name in names if self._label(name) is None]
        if unknown:
            knows = ", ".join(list(self.labels.values())[:5])
            raise OptionError(
                f"option detector: {self.checkpoint} does not know {', '.join(unknown[:5])}; it knows {knows}, ...; "
                "needed one that does, or that reads any words, such as google/owlv2-base-patch16-ensemble"
            )

    def __call__(self, image: Image.Image, names: Sequence[str]) -> list[tuple[str, tuple[float, ...], float]]:
        """The objects of these classes: name, box (left, top, right, bottom in pixels), and how sure it is."""
        with torch.inference_mode(), hub.foreign(PartError, f"{self.checkpoint}: cannot look for objects"):
            if self.reads_words:
                rows = self._pipeline(image, candidate_labels=list(names), threshold=LEAST)
            else:
                rows = self._pipeline(image, threshold=LEAST)
        called = {label: name for name in names if (label := name if self.reads_words else self._label(name))}
        sides = ("xmin", "ymin", "xmax", "ymax")
        return [
            (called[row["label"]], tuple(float(row["box"][side]) for side in sides), row["score"])
            for row in rows
            if row["label"] in called
        ]

    def _label(self, name: str) -> str | None:
        """What the detector calls a class; None where it does not know it."""
        return next((self.labels[own] for own in (name.lower(), ALIASES.get(name, "")) if own in self.labels), None)

    @cached_property
    def _pipeline(self) -> Any:
        folder = hub.locate(self.checkpoint)
        auto = AutoModelForZeroShotObjectDetection if self.reads_words else AutoModelForObjectDetection
        parts: dict[str, Any] = {
            "model": hub.read(auto, folder, dtype=torch.float32).eval(),
            "image_processor": hub.read(AutoImageProcessor, folder),
            "device": self.device,
        }
        if self.reads_words:
            return ZeroShotObjectDetectionPipeline(**parts, tokenizer=hub.read(AutoTokenizer, folder))
        return ObjectDetectionPipeline(**parts)


class Colours:
    """Tells which colour a crop of a picture is taken for.

    Args:
        clip: Checkpoint that embeds texts and images alike.
        device: Where to compute.
    """

    def __init__(self, clip: str, device: str = "cpu") -> None:
        self.encoder = HubEncoder(clip, device=device)
        self._words: dict[str, np.ndarray] = {}

    def __call__(self, crops: Sequence[Image.Image], name: str) -> list[str]:
        """The colours of objects of a class."""
        if not crops:
            return []
        if name not in self._words:
            texts = [template.format(colour=colour, name=name) for colour in COLOURS for template in TEMPLATES]
            vectors = unit(self.encoder.texts(texts)).reshape(len(COLOURS), len(TEMPLATES), -1)
            self._words[name] = unit(vectors.mean(1))
        nearest = (unit(self.encoder.images(crops)) @ self._words[name].T).argmax(1)
        return [COLOURS[place] for place in nearest.tolist()]


def detect(
    results: Path,
    made: Sequence[MadeMedium],
    questions: Mapping[str, Question],
    detector: str,
    clip: str,
    most: int,
    device: str,
    on_task: OnTask,
) -> None:
    """Look for what prompts name in all pictures, and write down what is found, a picture at a time.

    Args:
        results: The folder of results.
        made: The pictures.
        questions: What each prompt asks for, by its id.
        detector: Who finds objects.
        clip: Who tells colours; empty where no prompt names one.
        most: Most objects of a class whose colour is told.
        device: Where to compute.
        on_task: Hears how far it is.
    """
    looks = Detector(detector, device)
    tells = Colours(clip, device) if clip else None
    about = {"detector": detector, "sha256": identity(detector), "clip": clip}
    about["clip_sha256"] = identity(clip) if clip else ""
    folder = results / f"{DETECTIONS}-{about['sha256'][:12]}"
    read = modalities.get("image").read
    with AnswerFile(folder, about, "objects") as found:
        there = [one for one in made if one.file and one.id not in found.ids]
        for number, one in enumerate(there):
            if number % 16 == 0:
                on_task(f"objects in pictures: {len(found.ids)} of {sum(bool(one.file) for one in made)}")
            wanted, excluded = questions[one.prompt].gold
            image = read(results / one.file).convert("RGB")
            objects = _objects(looks, tells, image, wanted, excluded, most)
            found.add([(one.id, json.dumps(objects))])


def _objects(
    looks: Detector,
    tells: Colours | None,
    image: Image.Image,
    wanted: Sequence[Wanted],
    excluded: Sequence[Wanted],
    most: int,
) -> list[tuple[str, list[float], float, str]]:
    """Name, box, sureness and colour of each object, the surest first; the colour where one is asked for."""
    names = list(dict.fromkeys(item.name for item in (*wanted, *excluded)))
    rows = sorted(looks(image, names), key=lambda row: -row[2])
    coloured = {item.name for item in wanted if item.colour}
    colours: dict[int, str] = {}
    for name in coloured if tells is not None else ():
        places = [place for place, row in enumerate(rows) if row[0] == name][:most]
        crops = [_crop(image, rows[place][1]) for place in places]
        assert tells is not None
        colours |= zip(places, tells(crops, name), strict=True)
    return [(name, list(box), score, colours.get(place, "")) for place, (name, box, score) in enumerate(rows)]


def _crop(image: Image.Image, box: tuple[float, ...]) -> Image.Image:
    """The part of a picture in a box, of one pixel at least."""
    left, top = (min(max(0, int(side)), most - 1) for side, most in zip(box[:2], image.size, strict=True))
    right, bottom = (max(int(side), least + 1) for side, least in zip(box[2:], (left, top), strict=True))
    return image.crop((left, top, min(right, image.width), min(bottom, image.height)))
