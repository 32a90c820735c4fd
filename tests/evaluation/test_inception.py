"""The Inception network of FID: its features are pytorch-fid's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from modalink.errors import MediumError, OptionError, PartError
from modalink.evaluation.inception import network
from modalink.evaluation.media_features import media_encoder
from modalink.scoring.score import score


def weights() -> dict[str, Tensor]:
    """Weights of the network's names and shapes, the same on every machine."""
    rng, state = np.random.default_rng(0), {}
    for name, like in network().state_dict().items():
        drawn = rng.normal(size=tuple(like.shape)).astype(np.float32)
        if like.ndim > 1:
            drawn *= (2 / like[0].numel()) ** 0.5
        else:
            drawn = 1 + 0.2 * drawn if name.endswith(("bn.weight", "running_var")) else 0.1 * drawn
        state[name] = torch.from_numpy(np.abs(drawn) if name.endswith("running_var") else drawn).half()
    return state


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inception") / "pt_inception.pth"
    # Files that newer versions of torch write hold these counts, older ones do not.
    torch.save(weights() | {"Mixed_7c.branch1x1.bn.num_batches_tracked": torch.tensor(0)}, path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(1).integers(0, 256, (40, 64, 3), dtype=np.uint8)
    (tmp_path / "images").mkdir()
    Image.fromarray(pixels).save(tmp_path / "images" / "a.png")
    Image.fromarray(pixels[::-1]).save(tmp_path / "images" / "b.png")
    return tmp_path / "images"


def test_features_of_pytorch_fid(file: Path, folder: Path) -> None:
    """Those of `InceptionV3` of pytorch-fid 0.3.0 with these weights, of the image as it scales it."""
    (found,) = media_encoder(str(file)).media([folder / "a.png"], "image")
    assert found.shape == (2048,) and found.mean() == pytest.approx(1.0050, rel=1e-3)
    firsts = [0.0009589991, 1.5191797, 1.6301773, 1.2413154, 4.9576011, 0.9907175]
    assert found[:6] == pytest.approx(firsts, rel=1e-3, abs=1e-3)
    assert found[-4:] == pytest.approx([0.0, 0.5432210, 0.0, 1.7986056], rel=1e-3, abs=1e-3)


def test_the_file_is_an_encoder_of_scores(file: Path, folder: Path) -> None:
    report = score("fid", folder, folder, {"encoder": str(file)}, load_encoder=media_encoder)
    assert report.metrics["dimensions"] == 2048 and report.score == pytest.approx(0, abs=1e-2)


def test_what_it_cannot_encode_is_told(file: Path, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="found audio to encode, and Inception reads images alone"):
        media_encoder(str(file)).media([folder / "a.png"], "audio")
    with pytest.raises(PartError, match="Inception embeds no texts"):
        media_encoder(str(file)).texts(["a cat"])
    (folder / "c.png").write_bytes(b"no image")
    with pytest.raises(MediumError, match=r"c\.png"):
        media_encoder(str(file)).folder(folder, "image")
    other = tmp_path / "other.pth"
    torch.save({"weight": torch.ones(2)}, other)
    with pytest.raises(PartError, match="lacks parameters that the model needs"):
        media_encoder(str(other)).media([folder / "a.png"], "image")
