"""Features of media of every modality by encoders that the user names."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import SiglipConfig, SiglipModel

from modalink import modalities
from modalink.errors import DataError, PartError
from modalink.evaluation.media_features import HubEncoder
from modalink.hub.embedding import FRAMES, VIEWS, pictures, unit
from modalink.modalities.audio import Sound
from modalink.testing.checkpoints import tiny_clap
from modalink.testing.tokenizers import tiny_clip_tokenizer


@pytest.fixture
def media(tmp_path: Path) -> dict[str, list[Path]]:
    """Three files of each modality."""
    found: dict[str, list[Path]] = {}
    for modality in ("image", "video", "audio", "points"):
        record = modalities.get(modality)
        found[modality] = [tmp_path / f"{modality}-{n}{record.written}" for n in range(3)]
        for number, path in enumerate(found[modality]):
            record.write(record.example(number), path)
    return found


@pytest.fixture
def clap(tmp_path: Path) -> HubEncoder:
    return HubEncoder(str(tiny_clap(tmp_path / "clap")))


def test_a_video_encoder_gets_as_many_frames_as_it_reads(media: dict[str, list[Path]]) -> None:
    encoder = HubEncoder("zoo:video", batch=2)
    together = encoder.media(media["video"], "video")
    alone = np.concatenate([encoder.media([path], "video") for path in media["video"]])
    assert together.shape == (3, 128) and np.abs(together - alone).max() < 1e-4 * np.abs(alone).max()


def test_a_sound_has_the_same_features_beside_longer_ones_and_always(clap: HubEncoder, tmp_path: Path) -> None:
    record, paths = modalities.get("audio"), [tmp_path / "short.wav", tmp_path / "long.wav"]
    for seconds, path in zip((0.4, 3.0), paths, strict=True):
        samples = np.random.default_rng(0).normal(size=int(16_000 * seconds)).astype(np.float32) / 9
        record.write(Sound(samples, 16_000), path)
    state = np.random.get_state()[1].copy()
    together = clap.media(paths, "audio")
    assert (np.random.get_state()[1] == state).all()
    np.random.seed(5)  # CLAP's extractor draws a second of a longer sound
    again = np.concatenate([clap.media([path], "audio") for path in paths])
    assert together.shape == (2, 32) and (together == again).all()
    assert np.linalg.norm(clap.aligned(paths, "audio"), axis=1) == pytest.approx([1, 1])


def test_shapes_and_videos_stand_as_pictures(media: dict[str, list[Path]]) -> None:
    assert len(pictures(media["points"][0], "points")) == VIEWS and len(pictures(media["video"][0], "video")) == FRAMES
    front, *others = map(np.asarray, pictures(media["points"][1], "points"))
    assert front.shape == (224, 224, 3) and (front != 24).any() and all((front != other).any() for other in others)
    encoder = HubEncoder("zoo:vision", batch=8)
    for modality in ("points", "video"):
        rows = [unit(encoder.images(pictures(path, modality))).mean(0) for path in media[modality]]
        assert encoder.aligned(media[modality], modality) == pytest.approx(np.stack(rows), rel=1e-4, abs=1e-6)
    assert encoder.media(media["points"], "points").shape == (3, 128)


def test_what_an_encoder_cannot_do_is_told(media: dict[str, list[Path]], tmp_path: Path) -> None:
    with pytest.raises(PartError, match="which embeds no texts; needed an encoder of texts and media alike"):
        HubEncoder("zoo:vision").texts(["a cat"])
    with pytest.raises(PartError, match="zoo:video: "):
        HubEncoder("zoo:video").media(media["image"], "image")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: found no points, needed files \.ply"):
        HubEncoder("zoo:vision").folder(tmp_path / "empty", "points")


def test_words_for_siglip_are_filled_as_it_learned_them(tmp_path: Path) -> None:
    tokenizer, folder = tiny_clip_tokenizer(length=24), tmp_path / "siglip"
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**sizes, "vocab_size": len(tokenizer), "max_position_embeddings": 24, "projection_size": 16}
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": 1}
    config = SiglipConfig(text_config=text | ends, vision_config={**sizes, "image_size": 32, "patch_size": 8})
    torch.manual_seed(0)
    model = SiglipModel(config).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    filled = tokenizer(["a red cube"], padding="max_length", return_tensors="pt")
    with torch.no_grad():
        expected, bare = (
            model.get_text_features(**ids).pooler_output
            for ids in (filled, tokenizer("a red cube", return_tensors="pt"))
        )
    found = HubEncoder(str(folder)).texts(["a red cube"])
    assert found == pytest.approx(expected.double().numpy(), abs=1e-5)
    assert filled.input_ids.shape == (1, 24) and np.abs(found - bare.numpy()).max() > 0.1
