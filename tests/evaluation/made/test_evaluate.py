"""Benchmarks of made media from folders in official layouts to numbers, resumed where they were stopped."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import seeded_media

from modalink import modalities
from modalink.errors import DataError, OptionError, PartError, UnknownNameError
from modalink.evaluation import runner
from modalink.evaluation.dataset import open_dataset
from modalink.evaluation.made import extracting
from modalink.evaluation.made.asking import probabilities_of_yes
from modalink.evaluation.made.evaluate import Watching, evaluate, split_options
from modalink.evaluation.media_features import HubEncoder
from modalink.evaluation.numbers import open_benchmark
from modalink.evaluation.question import PreparedQuestion
from modalink.evaluation.runner import Evaluation
from modalink.hub.embedding import unit
from modalink.model import System
from modalink.recipe import BenchmarkChoice
from modalink.scoring.feature_store import FeatureStore
from modalink.scoring.metrics.frechet import frechet_distance, gaussian
from modalink.scoring.score import score
from modalink.testing.lookers import tiny_clap_of_words
from tests.conftest import Write

ENCODER = "zoo:vision"


def run(
    system: System, data: Path, out: Path, name: str = "coco_images", prompt: str = "", **options: object
) -> Evaluation:
    """Evaluate with options of the benchmark; those of `evaluate` have its own names."""
    told = {key: options.pop(key) for key in ("limit", "partial", "against", "examples", "watching") if key in options}
    given, sampling = split_options({key: str(value) for key, value in options.items()})
    dataset = open_dataset(name, data, options=given, prompt=prompt)
    return evaluate(system, dataset, out=out, sampling=sampling, max_new_tokens=8, **told)


def test_the_tiny_world_from_cocos_layout_to_every_number(
    maker: Callable[..., System], coco: Path, clip: str, tmp_path: Path
) -> None:
    system = maker(kind="stable_diffusion")
    evaluation = run(system, coco, tmp_path, encoder=ENCODER, clip=clip, examples=2, question="is there {caption}?")
    report = evaluation.report
    assert report is not None and report.unit == "distance" and report.count == 6
    assert report.score == report.metrics["frechet_distance"] > 0
    assert report.intervals.keys() >= {"kernel_distance", "clip_score", "cosine", "p_yes", "wrong_or_missing_media"}
    assert report.metrics["wrong_or_missing_media"] == 0 and report.metrics["media"] == 6
    assert 0 < report.metrics["p_yes"] < 1 and f"features of {ENCODER}" in report.notes[0]
    # The same numbers by hand.
    pictures = sorted((tmp_path / "media").iterdir())
    real = sorted((coco / "val2014").iterdir())
    features = [HubEncoder(ENCODER).media(paths, "image") for paths in (pictures, real)]
    by_hand = frechet_distance(*map(gaussian, features))
    assert report.score == pytest.approx(by_hand, rel=1e-3)
    captions = [f"A photo depicts {question.text}" for question in open_dataset("coco_images", coco).questions]
    encoder = HubEncoder(clip)
    cosines = (unit(encoder.media(pictures, "image")) * unit(encoder.texts(captions))).sum(1)
    assert report.metrics["cosine"] == pytest.approx(cosines.mean(), rel=1e-3)
    assert report.metrics["clip_score"] == pytest.approx(2.5 * cosines.clip(0).mean(), rel=1e-3)
    # The command that scores again needs no encoder and gives the same.
    again = score("coco_images", tmp_path, coco / "captions_val2014.json")
    assert again.metrics == report.metrics
    example = evaluation.examples[0]
    assert example["asked"][0]["text"].endswith(captions[0].removeprefix("A photo depicts "))
    assert example["reply"][-1]["url"].startswith("data:image/png")


def test_how_sure_a_system_is_hangs_on_the_question_alone(painter: System) -> None:
    found = probabilities_of_yes(
        painter, [PreparedQuestion("a", "is there a red circle?"), PreparedQuestion("b", "x")] * 2, 3
    )
    assert found.shape == (4, 1) and ((found > 0) & (found < 1)).all()
    assert found[:2] == pytest.approx(found[2:], rel=1e-4) and found[0] != pytest.approx(found[1], rel=0.1)


def test_it_resumes_behind_the_last_shard(
    painter: System, coco: Path, clip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extracting, "SHARD", 2)
    media, calls = HubEncoder.media, []

    def counted(self, paths, modality):
        if len(calls) == 2:
            calls.append("killed")
            raise KeyboardInterrupt
        calls.append([path.name for path in paths])
        return media(self, paths, modality)

    monkeypatch.setattr(HubEncoder, "media", counted)
    with pytest.raises(KeyboardInterrupt):
        run(painter, coco, tmp_path / "out", encoder=ENCODER)
    killed = calls.index("killed")
    first = run(painter, coco, tmp_path / "out", encoder=ENCODER)
    assert seeded_media.made == [6] and len(calls[killed + 1 :]) == 6 - killed  # of 3 shards made and 3 real
    whole = run(painter, coco, tmp_path / "whole", encoder=ENCODER)
    assert first.report.metrics == whole.report.metrics
    done = len(calls)
    assert run(painter, coco, tmp_path / "out", encoder=ENCODER).report.metrics == whole.report.metrics
    assert len(calls) == done
    # More prompts later: what is there stays.
    part = run(painter, coco, tmp_path / "part", encoder=ENCODER, limit=4)
    assert part.report.metrics["generated"] == part.report.metrics["real"] == 4
    assert run(painter, coco, tmp_path / "part", encoder=ENCODER).report.metrics == whole.report.metrics


def test_other_facts_are_not_mixed(painter: System, coco: Path, tmp_path: Path) -> None:
    run(painter, coco, tmp_path, encoder=ENCODER, ask=False)
    for options, says in (({"steps": 3}, "sampling"), ({"seed": 4}, "seed"), ({"captions": "all"}, "questions")):
        with pytest.raises(DataError, match=f"holds answers of something else:(.|\n)*{says}"):
            run(painter, coco, tmp_path, encoder=ENCODER, ask=False, **options)
    with pytest.raises(DataError, match="words"):
        run(painter, coco, tmp_path, encoder=ENCODER, ask=False, prompt="draw {question}")


def test_features_of_an_encoder_that_has_changed_are_computed_anew(coco: Path, tmp_path: Path) -> None:
    old = extracting.store_of(tmp_path, "clip", "mine", "1", prefix="")
    old.write("made", 0, ["a"], np.ones((1, 2)))
    kept = extracting.store_of(tmp_path, "clip", "mine", "1", prefix="")
    assert kept.has("made", 0, ["a"]) and not kept.has("made", 0, ["b"]) and not kept.has("made", 1, ["a"])
    assert not extracting.store_of(tmp_path, "clip", "mine", "2", prefix="").has("made", 0, ["a"])
    assert (
        not old.folder.exists()
        and FeatureStore.of(tmp_path, "clip", "mine", sha256="1", prefix="").folder == old.folder
    )


def test_missing_media_are_left_out_and_counted(
    painter: System, coco: Path, clip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = open_dataset("coco_images", coco).questions
    encode = seeded_media.Seeded.encode_text
    answered: list[str] = []

    def refuses(self, texts):
        answered.extend(texts)
        if len(answered) == 2:
            raise PartError("no such words")
        return encode(self, texts)

    monkeypatch.setattr(seeded_media.Seeded, "encode_text", refuses)
    report = run(painter, coco, tmp_path / "out", clip=clip, ask=False).report
    assert report.metrics["wrong_or_missing_media"] == pytest.approx(1 / 6) and report.metrics["media"] == 5
    assert report.count == len(wanted) == 6 and len(report.summary.items) == 5
    assert "1 of 6 replies hold no medium; those that were made are scored" in report.notes


def test_two_systems_are_compared_on_what_both_made(painter: System, coco: Path, clip: str, tmp_path: Path) -> None:
    options = {"encoder": ENCODER, "clip": clip, "ask": False}
    run(painter, coco, tmp_path / "a", **options)
    run(painter, coco, tmp_path / "b", **options, limit=4, seed=0)
    other = run(painter, coco, tmp_path / "c", prompt="paint {question}", **options, against=tmp_path / "b").report
    assert "compared: 4 media that both systems made, 2 of one alone left out" in other.notes
    assert other.comparison is not None and other.comparisons.keys() >= {"clip_score", "cosine", "kernel_distance"}
    data = other.as_dict()
    assert data["against"]["metrics"]["clip_score"]["p_value"] <= 1
    same = run(painter, coco, tmp_path / "a", **options, against=tmp_path / "a").report
    assert same.comparison.difference == 0 and same.comparisons["clip_score"].p_value == 1


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        (
            {},
            OptionError,
            r"needed --option encoder=CHECKPOINT for the Fréchet distance \(FID\); --option clip=CHECKPOINT",
        ),
        ({"encoder": "/no/such"}, PartError, "no such folder"),
        ({"clip": "/no/such"}, PartError, "no such folder"),
        ({"encoder": ENCODER, "real": "empty"}, DataError, r"empty: found no image, needed files"),
        ({"encoder": ENCODER, "real": "nowhere.npz"}, DataError, "needed a folder of media, or features"),
        ({"encoder": ENCODER, "question": "is it good?"}, OptionError, "needed {caption} in it"),
        ({"encoder": ENCODER, "steps": "0"}, OptionError, "steps: found '0'"),
        (
            {"encoder": ENCODER, "seconds": "2"},
            ValueError,
            "found seconds, which outputs.image.generator does not take",
        ),
        ({"encoder": ENCODER, "step": "2"}, UnknownNameError, "step"),
    ],
)
def test_wrong_use(painter, coco, tmp_path, monkeypatch, options, error, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(error, match=says):
        run(painter, coco, tmp_path / "out", **options)
    assert not seeded_media.made or "question" in options


def test_real_media_may_be_a_folder_or_statistics_or_missing(painter: System, coco: Path, tmp_path: Path) -> None:
    by_names = run(painter, coco, tmp_path / "a", encoder=ENCODER, ask=False).report
    folder = run(painter, coco, tmp_path / "b", encoder=ENCODER, ask=False, real=coco / "val2014").report
    assert folder.score == by_names.score
    features = HubEncoder(ENCODER).media(sorted((coco / "val2014").iterdir()), "image")
    np.savez(tmp_path / "stats.npz", mu=features.mean(0), sigma=np.cov(features, rowvar=False))
    told = run(painter, coco, tmp_path / "c", encoder=ENCODER, ask=False, real=tmp_path / "stats.npz").report
    assert told.score == pytest.approx(by_names.score, rel=1e-4) and "kernel_distance" not in told.metrics
    (coco / "val2014" / "COCO_val2014_000000000003.png").unlink()
    with pytest.raises(DataError, match=r"1 of 6 prompts have no real image in .*000000000003"):
        run(painter, coco, tmp_path / "d", encoder=ENCODER)
    part = run(painter, coco, tmp_path / "d", encoder=ENCODER, ask=False, partial=True).report
    assert part.metrics["real"] == 5 and part.metrics["generated"] == 6


OTHERS = {
    "audiocaps_sounds": ("audio", "test.csv"),
    "msrvtt_videos": ("video", "test_videodatainfo.json"),
    "cap3d_shapes": ("points", "Cap3D_automated_Objaverse.csv"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_sounds_videos_and_shapes(name, maker, clip, write: Write, tmp_path: Path) -> None:
    modality, file = OTHERS[name]
    record = modalities.get(modality)
    (tmp_path / "data").mkdir()
    for number in range(4):
        record.write(record.example(number), tmp_path / "data" / f"thing{number}{record.written}")
    rows = [(f"thing{number}", f"a red cube number {number}") for number in range(4)]
    if name == "msrvtt_videos":
        videos = [{"video_id": key, "split": "test"} for key, _ in rows] + [{"video_id": "other", "split": "train"}]
        sentences = [{"video_id": key, "caption": text} for key, text in (*rows, ("other", "never"), *rows)]
        write(f"data/{file}", {"videos": videos, "sentences": sentences})
    elif name == "audiocaps_sounds":
        write(
            f"data/{file}",
            [("audiocap_id", "youtube_id", "start_time", "caption"), *((n, k, 0, t) for n, (k, t) in enumerate(rows))],
        )
    else:
        write(f"data/{file}", rows)
    looks = str(tiny_clap_of_words(tmp_path / "clap")) if modality == "audio" else clip
    encoder = {"audio": looks, "video": "zoo:video", "points": ENCODER}[modality]
    tasks: list[str] = []
    report = run(
        maker(modality), tmp_path / "data", tmp_path / "out", name, encoder=encoder, clip=looks,
        watching=Watching(on_task=tasks.append),
    ).report  # fmt: skip
    assert report.count == 4 and report.score == report.metrics["frechet_distance"] > 0
    assert -1 <= report.metrics["cosine"] <= 1 and "clip_score" not in report.metrics
    assert [path.suffix for path in sorted((tmp_path / "out" / "media").iterdir())] == [record.written] * 4
    assert any("p_yes is left out" in note for note in report.notes) and "captions to compare with: 0 of 4" in tasks
    captions = [
        json.loads(line)["caption"] for line in (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()
    ]
    assert captions == [text for _, text in rows]


def test_they_are_no_measure_of_questions(painter: System, coco: Path, tmp_path: Path) -> None:
    says = "COCO captions to images asks for image and not for answers, so that it is no measure here"
    with pytest.raises(OptionError, match=says):
        runner.evaluate(painter, "coco_images", coco, out=tmp_path / "out")
    with pytest.raises(OptionError, match=says):
        open_benchmark(BenchmarkChoice(name="coco_images", data=str(coco)), ("image",))
    assert not (tmp_path / "out").exists()
