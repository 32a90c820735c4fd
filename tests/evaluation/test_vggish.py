"""VGGish of FAD: its examples and features are the original's; encoders of sounds without an Auto class can be named."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from modalink import modalities
from modalink.errors import OptionError, PartError
from modalink.evaluation.media_features import KindEncoder, media_encoder
from modalink.evaluation.vggish import RATE_HZ, Vggish, VggishEncoder, examples
from modalink.modalities.audio import Sound
from modalink.scoring.score import score
from modalink.testing.checkpoints import tiny_beats


def weights() -> dict[str, Tensor]:
    """Weights of torchvggish's names and shapes, the same on every machine."""
    with torch.device("meta"):
        like = Vggish().state_dict()
    rng, state = np.random.default_rng(0), {}
    for name, one in like.items():
        drawn = rng.standard_normal(tuple(one.shape), dtype=np.float32)
        drawn *= (2 / one[0].numel()) ** 0.5 if one.ndim > 1 else 0.1
        state[name] = torch.from_numpy(drawn).half()
    return state


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("vggish") / "vggish.pth"
    torch.save(weights() | {"pproc.pca_means": torch.zeros(128, 1)}, path)
    return str(path)


def sweep(seconds: float = 2.5) -> Sound:
    """A rising tone beside a high one."""
    times = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    low, high = np.sin(2 * np.pi * (200 + 600 * times) * times), np.sin(2 * np.pi * 3000 * times)
    return Sound((0.4 * low + 0.1 * high).astype(np.float32), RATE_HZ)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sounds").mkdir()
    for name, seconds in (("a", 2.5), ("b", 0.4)):
        modalities.get("audio").write(sweep(seconds), tmp_path / "sounds" / f"{name}.wav")
    return tmp_path / "sounds"


def test_examples_are_the_originals() -> None:
    """Those of vggish_input.py and mel_features.py of tensorflow/models, research/audioset/vggish, of this sound."""
    found = examples(sweep().values)
    assert found.shape == (2, 96, 64) and found.mean() == pytest.approx(-3.4180226, abs=1e-5)
    assert found[0, 0, :4] == pytest.approx([2.00685422, 3.31932995, 3.68638344, 3.25418907], abs=1e-4)
    assert found[1, 50, 60:] == pytest.approx([-4.59809949, -4.59887641, -4.59947784, -4.59993497], abs=1e-4)


def test_a_short_sound_is_filled_with_silence() -> None:
    found = examples(sweep(0.4).values)
    assert found.shape == (1, 96, 64)
    assert found[0, :37] == pytest.approx(examples(sweep().values)[0, :37], abs=1e-9)
    assert found[0, 41:] == pytest.approx(np.full((55, 64), np.log(0.01)), abs=1e-9)


def test_features_are_the_originals(file: str) -> None:
    """Those of `VGG` of harritaylor/torchvggish with these weights, without its last activation; the largest is 35."""
    encoder = media_encoder(f"vggish:{file}")
    assert isinstance(encoder, VggishEncoder)
    rows = next(encoder._each([sweep()], "audio"))
    assert rows.shape == (2, 128) and rows.mean() == pytest.approx(-0.2822744, abs=0.01)
    assert rows[0, :6] == pytest.approx([12.975105, 5.205109, -24.154312, 18.332926, 19.813871, 13.700096], abs=0.02)
    assert rows[1, -4:] == pytest.approx([-17.734965, -7.728049, 11.134656, 5.263633], abs=0.02)
    assert encoder.media([sweep()], "audio") == pytest.approx(rows.mean(0)[None], abs=0.01)


def test_fad_is_of_all_examples_of_a_folder(file: str, folder: Path) -> None:
    assert media_encoder(f"vggish:{file}").folder(folder, "audio").shape == (3, 128)
    report = score("fad", folder, folder, {"encoder": f"vggish:{file}"}, load_encoder=media_encoder)
    assert report.metrics["dimensions"] == 128 and report.score == pytest.approx(0, abs=1e-2)


def test_what_it_cannot_read_is_refused(file: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="found image to encode, and VGGish reads sounds alone"):
        media_encoder(f"vggish:{file}").media([tmp_path], "image")
    with pytest.raises(PartError, match="VGGish embeds no texts"):
        media_encoder(f"vggish:{file}").texts(["a bell"])
    torch.save({"features.0.weight": torch.zeros(64, 1, 3, 3)}, tmp_path / "other.pth")
    with pytest.raises(PartError, match="lacks parameters that the model needs"):
        media_encoder(f"vggish:{tmp_path / 'other.pth'}").media([sweep()], "audio")


def test_an_encoder_of_sounds_without_an_auto_class_is_named_by_its_kind(tmp_path: Path) -> None:
    tiny_beats(tmp_path / "beats")
    encoder = media_encoder(f"beats:{tmp_path / 'beats'}")
    assert isinstance(encoder, KindEncoder)
    together = encoder.media([sweep(2.5), sweep(1.0)], "audio")
    assert together.shape[0] == 2 and np.isfinite(together).all()
    assert (together[1] == encoder.media([sweep(1.0)], "audio")[0]).all() and (together[0] != together[1]).any()
    with pytest.raises(PartError, match="found image to encode, and it reads audio"):
        encoder.media([tmp_path], "image")
    with pytest.raises(PartError, match="embeds no texts"):
        encoder.texts(["a bell"])
