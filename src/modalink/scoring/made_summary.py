"""From a folder of made media, and what encoders say of them, to the numbers of a benchmark of made media."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from modalink.errors import DataError
from modalink.scoring.benchmark import Grade, GradedQuestion, Question, Summary
from modalink.scoring.bootstrap import Sample, means_by
from modalink.scoring.feature_store import FeatureStore, only_store
from modalink.scoring.features import FeatureSet, feature_set, read_feature_set
from modalink.scoring.features import no_encoder as not_encoded
from modalink.scoring.made_media import MadeMedium, read_made
from modalink.scoring.metrics.clip_score import WEIGHT
from modalink.scoring.rows import shown_path
from modalink.scoring.set_distance import set_distance

WRONG = "wrong_or_missing_media"
"""Name of the share of replies without the one medium that was asked for, and nothing beside it."""


@dataclass
class Numbers:
    """Numbers about made media, in the order in which they are told; the first is the score.

    Args:
        made: The media that were asked for.
        metrics: Name -> value.
        samples: What error bars are computed from.
        by_medium: Name -> id -> a number for each medium, of the metrics that are means.
        notes: What a reader of the numbers must know.
    """

    made: Sequence[MadeMedium]
    metrics: dict[str, float] = field(default_factory=dict)
    samples: dict[str, Sample] = field(default_factory=dict)
    by_medium: dict[str, dict[str, float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add_mean(self, name: str, values: Mapping[str, float]) -> None:
        """Add a mean over media, drawn by prompt."""
        prompts = {one.id: one.prompt for one in self.made}
        scores = np.array(list(values.values()))
        self.metrics[name] = float(scores.mean())
        self.samples[name] = means_by(scores, [prompts[id] for id in values])
        self.by_medium[name] = dict(values)

    def summary(self, units: Mapping[str, str]) -> Summary:
        """All of them, with the share of wrong or missing media; the first number is the score.

        Args:
            units: Name -> unit, where it is not the benchmark's.
        """
        headline = next(iter(self.metrics))
        # What a medium is worth is the first mean there is: a distance is one of all media together.
        best, of_each = next(iter(self.by_medium.items()), ("", {}))
        wrong = {one.id: float(one.wrong) for one in self.made}
        self.add_mean(WRONG, wrong)
        self.metrics["media"] = float(sum(not one.missing for one in self.made))
        if lost := sum(bool(one.missing) for one in self.made):
            self.notes.append(f"{lost} of {len(self.made)} replies hold no medium; those that were made are scored")
        if surplus := sum(bool(one.surplus) for one in self.made):
            self.notes.append(f"{surplus} replies ask for further media, of which none is scored")
        items = [
            GradedQuestion(Question(one.id, text=one.caption), Grade(of_each.get(one.id, 0.0), one.reply))
            for one in self.made
            if not one.missing
        ]
        sample = self.samples.pop(headline, None)
        return Summary(
            self.metrics[headline],
            self.metrics,
            sample,
            self.notes,
            items,
            len(self.made),
            self.samples,
            units.get(headline, ""),
            best,
        )


def numbers(
    results: Path,
    modality: str,
    *,
    encoder: str = "",
    clip: str = "",
    real: Path | None = None,
    only: Collection[str] | None = None,
) -> Numbers:
    """The numbers that the features in a folder of results give.

    Args:
        results: The folder.
        modality: What was made.
        encoder: The encoder of the distance, where the folder holds features of several.
        clip: The encoder of media and texts, the same.
        real: Features or statistics of real media, where they are not in the folder.
        only: Ids of the media that count; all by default.

    Raises:
        DataError: The folder is damaged, or nobody has looked at its media.
    """
    found = Numbers(read_made(results, only))
    ids = [one.id for one in found.made if not one.missing]
    if not ids:
        raise DataError(
            f"{shown_path(results)}: found {len(found.made)} replies and no {modality} in any of them; was the system "
            "trained to make it, and is it asked in words that it knows? --prompt says others"
        )
    if store := only_store(results, "distance", encoder):
        _add_distance(found, store, real, ids)
    if store := only_store(results, "clip", clip):
        _add_angles(found, store, modality, ids)
    if store := only_store(results, "yes"):
        sure = store.read("made")
        found.add_mean("p_yes", {id: float(sure[id][0]) for id in _there(store, sure, ids)})
        found.notes.append(f"p_yes: the system itself, asked {store.about['question']!r}")
    return found


def _add_distance(found: Numbers, store: FeatureStore, real: Path | None, ids: Sequence[str]) -> None:
    rows = store.read("made")
    made = feature_set(np.stack([rows[id] for id in _there(store, rows, ids)]), str(store.folder))
    prompts = {one.id: one.prompt for one in found.made}
    distance = set_distance(made, _real(store, real), [prompts[id] for id in ids])
    found.metrics |= {"frechet_distance": distance.frechet} | distance.metrics
    found.samples |= distance.samples
    found.notes += [f"features of {store.about['encoder']}; a distance belongs to its encoder", *distance.notes]


def _real(store: FeatureStore, real: Path | None) -> FeatureSet:
    if real is not None and real.is_file():
        return read_feature_set(real, "", "", not_encoded)
    rows = store.read("real")
    if not rows:
        raise DataError(f"{store.folder}: found no features of real media; start the evaluation again")
    return feature_set(np.stack(list(rows.values())), f"{store.folder}: real")


def _add_angles(found: Numbers, store: FeatureStore, modality: str, ids: Sequence[str]) -> None:
    """Cosines of media and captions; of images CLIPScore, too, which weighs them and leaves none below 0."""
    made, texts = store.read("made"), store.read("texts")
    prompts = {one.id: one.prompt for one in found.made}
    cosines = {id: float(made[id] @ _unit(texts[prompts[id]])) for id in _there(store, made, ids)}
    if modality == "image":
        found.add_mean("clip_score", {id: WEIGHT * max(value, 0.0) for id, value in cosines.items()})
    found.add_mean("cosine", cosines)
    found.notes.append(f"cosines of {store.about['encoder']} with the captions behind {store.about['prefix']!r}")


def _there(store: FeatureStore, rows: Mapping[str, object], ids: Sequence[str]) -> Sequence[str]:
    if lost := [id for id in ids if id not in rows]:
        missing = f"{len(lost)} media ({lost[0]})"
        raise DataError(f"{store.folder}: found no features of {missing}; start the evaluation again")
    return ids


def _unit(vector: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
    unit: Float[np.ndarray, " d"] = vector / np.linalg.norm(vector)
    return unit
