"""Media of requests: each from its own seed, none made twice, and what is missing told."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import seeded_media
from mixed import mixed_system, saying
from PIL import Image

from modalink.errors import OptionError
from modalink.evaluation import runner
from modalink.evaluation.answer_file import AnswerFile
from modalink.evaluation.dataset import open_dataset
from modalink.evaluation.made.making import check_makes, make_all, requests
from modalink.inference import Sampling
from modalink.model import System
from modalink.scoring.made_media import read_made

SHORT = Sampling(max_new_tokens=12)


def make(system: System, coco: Path, out: Path, *, limit: int | None = None, batch: int = 16, **options: str) -> list:
    dataset = open_dataset("coco_images", coco, options=options)
    with AnswerFile(out, {}) as answers:
        make_all(system, requests(dataset, "image", limit), "image", answers, SHORT, batch=batch)
    return read_made(out)


def test_requests_are_in_the_words_of_the_modality_or_of_the_user(coco: Path) -> None:
    first, *others = requests(open_dataset("coco_images", coco), "image")
    assert first.asked == f"Generate an image: {first.question.text}" or first.question.text in first.asked
    assert len(others) == 5 and len({one.seed for one in (first, *others)}) == 6
    told = open_dataset("coco_images", coco, options={"per_prompt": "2", "captions": "all"}, prompt="draw {question}!")
    wanted = requests(told, "image", 3)
    assert [one.id for one in wanted] == ["1-0-0", "1-0-1", "1-1-0", "1-1-1", "2-0-0", "2-0-1"]
    assert wanted[0].asked == f"draw {wanted[0].question.text}!" and wanted[0].seed != wanted[1].seed
    assert [one.stem for one in wanted[:3]] == ["000000-0", "000000-1", "000001-0"]


def test_a_batch_is_as_one_by_one_and_nothing_is_made_twice(painter: System, coco: Path, tmp_path: Path) -> None:
    together = make(painter, coco, tmp_path / "together")
    assert seeded_media.made == [6]
    some = make(painter, coco, tmp_path / "alone", limit=2, batch=1)
    assert seeded_media.made == [6, 1, 1] and len(some) == 2
    alone = make(painter, coco, tmp_path / "alone", batch=1)
    assert seeded_media.made == [6, *[1] * 6] and alone == together
    for one in together:
        assert (tmp_path / "together" / one.file).read_bytes() == (tmp_path / "alone" / one.file).read_bytes()
    other_seed = make(painter, coco, tmp_path / "other", seed="1")
    pixels = [np.asarray(Image.open(tmp_path / name / together[0].file)) for name in ("together", "other")]
    assert (pixels[0] != pixels[1]).any() and other_seed[0].seed != together[0].seed


def test_a_killed_process_loses_its_batch_alone(
    painter: System, coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = seeded_media.Seeded.sample

    def killed(self, conditions, **options):
        if len(seeded_media.made) == 2:
            raise KeyboardInterrupt
        return sample(self, conditions, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(seeded_media.Seeded, "sample", killed)
        make(painter, coco, tmp_path / "out", batch=2)
    with (tmp_path / "out" / "predictions.jsonl").open("ab") as file:
        file.write(b'{"question_id": "5", "ans')
    assert len(make(painter, coco, tmp_path / "out", batch=2)) == 6 and seeded_media.made == [2, 2, 2]


def test_what_a_generator_refuses_is_missing_and_the_others_are_made(
    painter: System, coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = seeded_media.Seeded.sample

    def picky(self, conditions, **options):
        if any(options["rng"][0].initial_seed() == bad for bad in bad_seeds) or len(conditions) > 1:
            options["steps"] = 13
        return sample(self, conditions, **options)

    bad_seeds = [requests(open_dataset("coco_images", coco), "image")[2].seed]
    monkeypatch.setattr(seeded_media.Seeded, "sample", picky)
    made = make(painter, coco, tmp_path / "out")
    assert [bool(one.missing) for one in made] == [False, False, True, False, False, False]
    assert made[2].missing == "found 13 steps, which brings bad luck" and made[2].wrong and not made[2].file
    rows = [json.loads(line) for line in (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()]
    assert rows[2]["answer"] == made[2].reply and rows[0]["file"] == "media/000000.png"


@pytest.fixture(scope="module")
def mixed(maker: Callable[..., System], tmp_path_factory: pytest.TempPathFactory) -> System:
    return mixed_system(tmp_path_factory.mktemp("parts"))


def test_replies_without_the_medium_or_with_others_are_counted(mixed: System, coco: Path, tmp_path: Path) -> None:
    for script, missing, surplus in (
        (("image",), "", ""),
        ((None,), "the reply asks for no image", ""),
        (("audio",), "the reply asks for no image", "audio"),
        (("image", "image", "audio"), "", "image, audio"),
    ):
        out = tmp_path / "-".join(map(str, script))
        with saying(mixed, *script):
            (one,) = make(mixed, coco, out, limit=1)
        assert (one.missing, one.surplus, one.wrong) == (missing, surplus, bool(missing or surplus))
        assert bool(one.file) == (not missing) and (not one.file or (out / one.file).is_file())


def test_a_system_that_makes_no_such_media_is_refused(maker: Callable[..., System]) -> None:
    sounds = maker("audio", reads=False)
    with pytest.raises(OptionError, match=r"it asks for image, and the system makes audio; .* outputs\.image"):
        check_makes(sounds, "image", "COCO")
    sounds.generators.clear()
    with pytest.raises(OptionError, match="found no generator of audio"):
        check_makes(sounds, "audio", "AudioCaps")


def test_answers_in_words_that_ask_for_media_are_counted(mixed: System, tmp_path: Path) -> None:
    rows = [
        {"img_path": f"{n}.png", "question": f"Q{n}?", "candidates": ["a", "b"], "correct_ans": "b"} for n in range(2)
    ]
    (tmp_path / "llvisionqa_dev.json").write_text(json.dumps(rows))
    for row in rows:
        Image.new("RGB", (32, 32)).save(tmp_path / row["img_path"])
    with saying(mixed, None, "image"):
        told = runner.evaluate(mixed, "qbench", tmp_path, out=tmp_path / "a", batch=1, max_new_tokens=12, limit=1)
    assert "1 of 1 answers ask for a medium, which no question does" in told.report.notes
    with saying(mixed, None):
        told = runner.evaluate(mixed, "qbench", tmp_path, out=tmp_path / "a", batch=1, max_new_tokens=12)
    assert "1 of 2 answers ask for a medium, which no question does" in told.report.notes
