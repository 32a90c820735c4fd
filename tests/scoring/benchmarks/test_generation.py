"""FID and its kin, inception score and CLIPScore, on features given or computed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer, ViTConfig, ViTImageProcessor, ViTModel

from modalink.errors import DataError, PartError
from modalink.evaluation.media_features import HubEncoder
from modalink.scoring.score import score
from modalink.testing.lookers import tiny_clip
from tests.conftest import Write


def save(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


def test_distance_of_features_and_of_statistics(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    real = rng.normal(size=(200, 3))
    np.save(tmp_path / "fake.npy", real + np.array([3.0, 0.0, 4.0]))
    features = save(tmp_path / "real.npz", features=real)
    report = score("fid", tmp_path / "fake.npy", features)
    assert report.score == pytest.approx(25) and "Inception-v3" in report.notes[0]
    assert report.interval is not None and 20 < report.interval[0] < 25 < report.interval[1] < 30
    assert report.metrics["kernel_distance"] > 100 and report.intervals.keys() == {"kernel_distance"}
    assert "kid_mean is of subsets of 200, published numbers are of 1,000" in report.notes
    assert score("fid", features, features).metrics["kernel_distance"] < 0.1
    statistics = save(tmp_path / "stats.npz", mu=real.mean(0), sigma=np.cov(real, rowvar=False))
    against_statistics = score("fad", tmp_path / "fake.npy", statistics)
    assert against_statistics.score == pytest.approx(25)
    assert against_statistics.interval == pytest.approx(report.interval)
    assert "no interval" in score("fad", statistics, features).notes[-1]
    few = save(tmp_path / "few.npz", features=real[:3])
    assert "3 samples for 3 dimensions" in score("fvd", few, statistics).notes[1]


def test_files_that_are_no_features(tmp_path: Path, write: Write) -> None:
    good = save(tmp_path / "good.npz", features=np.eye(3))
    for bad, says in (
        (save(tmp_path / "two.npz", a=np.eye(3), b=np.eye(3)), "found arrays a, b"),
        (save(tmp_path / "cube.npz", features=np.zeros((2, 2, 2))), "needed a matrix"),
        (write("text.npy", "not numpy"), "not a file of numpy arrays"),
        (tmp_path / "none.npy", "no such"),
        (tmp_path, "needed an encoder"),
    ):
        with pytest.raises(DataError, match=says):
            score("fid", bad, good)
    with pytest.raises(DataError, match="needed --annotations"):
        score("fid", good)
    with pytest.raises(DataError, match="no mean over items"):
        score("fid", good, good, against=good)


def test_numbers_that_are_none_are_told_with_file_and_row(tmp_path: Path) -> None:
    good, bad = np.random.default_rng(0).random((8, 3)), np.ones((8, 3)) / 3
    bad[5, 1] = np.nan
    whole, broken = save(tmp_path / "good.npz", features=good), save(tmp_path / "bad.npz", features=bad)
    for name in ("fid", "inception_score"):
        with pytest.raises(DataError, match=r"bad\.npz: features: row 5 \(from 0\) and 0 more hold NaN"):
            score(name, broken, whole, {"input": "logits"} if name == "inception_score" else None)
    zero = good.copy()
    zero[2] = 0
    for images, captions, says in (
        (bad, good, "images: row 5"),
        (good, zero, r"captions: row 2 \(from 0\) is all zero"),
    ):
        with pytest.raises(DataError, match=says):
            score("clipscore", save(tmp_path / "c.npz", images=images, captions=captions))
    odd = save(tmp_path / "odd.npz", mu=np.zeros(24), sigma=np.eye(3))
    with pytest.raises(DataError, match=r"mu of shape \(24,\) and sigma of shape \(3, 3\)"):
        score("fid", odd, whole)
    huge = save(tmp_path / "huge.npz", features=good * 1e300)
    with pytest.raises(DataError, match=r"imaginary|too large"):
        score("fid", huge, whole)
    statistics = save(tmp_path / "s.npz", mu=good.mean(0), sigma=np.cov(good, rowvar=False))
    assert score("fid", statistics, whole).count is None


def test_images_may_have_different_numbers_of_references(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images, captions, references = rng.normal(size=(2, 3)), rng.normal(size=(2, 3)), rng.normal(size=(2, 2, 3))
    even = score("clipscore", save(tmp_path / "a.npz", images=images, captions=captions, references=references))
    flat = np.concatenate([references[1], references[0], references[0, :1]])
    owners = {"reference_images": np.array([1, 1, 0, 0, 0])}
    path = save(tmp_path / "b.npz", images=images, captions=captions, references=flat, **owners)
    assert score("clipscore", path).metrics == pytest.approx(even.metrics)
    with pytest.raises(DataError, match="for 2 images, needed"):
        score("clipscore", save(tmp_path / "c.npz", images=images, captions=captions, references=flat))


def test_pickled_features_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="not a file of numpy arrays"):
        score("fid", tmp_path / "objects.npy", tmp_path / "objects.npy")


def test_inception_score(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.tile(np.eye(4), (10, 1)))
    assert score("inception_score", tmp_path / "p.npy").score == pytest.approx(4)
    np.save(tmp_path / "l.npy", np.tile(100.0 * np.eye(4), (10, 1)))
    assert score(
        "inception_score", tmp_path / "l.npy", options={"input": "logits", "splits": "5"}
    ).score == pytest.approx(4)


def test_clip_score_of_embeddings(tmp_path: Path) -> None:
    images, captions = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[3.0, 4.0], [-1.0, 0.0]])
    references = np.array([[[0.0, 1.0], [3.0, 4.0]], [[1.0, 0.0], [0.0, 1.0]]])
    report = score("clipscore", save(tmp_path / "e.npz", images=images, captions=captions, references=references))
    assert report.score == 0.75 and report.metrics["cosine"] == pytest.approx(-0.2)
    assert report.metrics["RefCLIPScore"] == pytest.approx((2 * 1.5 / 2.5 + 0) / 2)
    assert report.interval is not None and report.count == 2
    with pytest.raises(DataError, match=r"needed images \[n d\] and captions"):
        score("clipscore", save(tmp_path / "f.npz", images=images))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for n in range(4):
        Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)).save(tmp_path / "images" / f"{n}.png")
    return tmp_path / "images"


@pytest.fixture
def vit(tmp_path: Path) -> str:
    config = ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=8, patch_size=4
    )
    ViTModel(config).save_pretrained(tmp_path / "vit")
    ViTImageProcessor(size={"height": 8, "width": 8}).save_pretrained(tmp_path / "vit")
    return str(tmp_path / "vit")


@pytest.fixture
def clip(tmp_path: Path) -> str:
    return str(tiny_clip(tmp_path / "clip"))


def test_folders_of_images_by_a_named_encoder(images: Path, vit: str) -> None:
    report = score("fid", images, images, {"encoder": vit}, load_encoder=HubEncoder)
    assert report.score == pytest.approx(0, abs=1e-4) and report.metrics["dimensions"] == 8
    assert report.metrics["generated"] == 4 and vit in report.notes[0]
    with pytest.raises(PartError, match="no such folder; give a folder"):
        score("fid", images, images, {"encoder": "/no/such/encoder"}, load_encoder=HubEncoder)


def test_an_encoder_that_nobody_loads(images: Path, vit: str) -> None:
    with pytest.raises(DataError, match="computing features needed `load_encoder`"):
        score("fid", images, images, {"encoder": vit})


def test_clip_score_by_a_named_encoder(images: Path, clip: str, write: Write) -> None:
    captions = {f"{n}.png": f"a cat number {'abcd'[n]}" for n in range(3)}
    options = {
        "encoder": clip,
        "references": str(write("r.json", {name: [text, "a dog"] for name, text in captions.items()})),
    }
    report = score("clipscore", write("c.json", captions), images, options, load_encoder=HubEncoder)
    model = CLIPModel.from_pretrained(clip)
    processor, tokenizer = CLIPImageProcessor.from_pretrained(clip), CLIPTokenizer.from_pretrained(clip)
    picture = processor(Image.open(images / "0.png"), return_tensors="pt")["pixel_values"]
    words = tokenizer("A photo depicts a cat number a", return_tensors="pt")
    with torch.no_grad():
        cosine = model(pixel_values=picture, **words)
    expected = 2.5 * max(0.0, float((cosine.image_embeds * cosine.text_embeds).sum()))
    assert report.summary.items[0].grade.score == pytest.approx(expected, abs=1e-5)
    # Its own text is among the references: the best cosine is 1.
    scores = np.array([item.grade.score for item in report.summary.items])
    assert report.metrics["RefCLIPScore"] == pytest.approx((2 * scores / (scores + 1)).mean(), abs=1e-5)
    with pytest.raises(DataError, match="no image for 1 captions"):
        score("clipscore", write("d.json", {"9.png": "x"}), images, options, load_encoder=HubEncoder)
