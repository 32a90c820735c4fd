"""What ImageBind reads of depth maps, thermal pictures and inertial series."""

import numpy as np
import pytest
import torch

from modalink import modalities
from modalink.encoders._sensors import DepthPreprocessor, SeriesPreprocessor, ThermalPreprocessor
from modalink.errors import MediumError


def test_depth_is_read_as_disparity() -> None:
    """Of two metres 38.9 / (8 * 2) of 75 pixels; at most 75, however near."""
    depth = DepthPreprocessor(8, 38.9)
    far, near = depth(np.full((20, 30), 2.0)), depth(np.full((9, 8), 1e-6, np.float32))
    torch.testing.assert_close(far, torch.full((1, 1, 8, 8), (38.9 / 16 / 75 - 0.0418) / 0.0295))
    torch.testing.assert_close(near, torch.full((1, 1, 8, 8), (1 - 0.0418) / 0.0295))


def test_depth_that_is_not_known_is_far() -> None:
    depth = DepthPreprocessor(4, 38.9)
    unknown = depth(np.array([[0.0, np.nan], [np.inf, -1.0]]))
    assert torch.equal(unknown, depth(np.full((2, 2), 50.0)))


def test_the_square_is_the_middle_one() -> None:
    values = np.full((10, 30), 5.0)
    values[:, 10:20] = 1.0
    depth = DepthPreprocessor(10, 38.9)
    assert torch.equal(depth(values), depth(np.ones((10, 10))))


def test_a_thermal_picture_is_grey_as_torchvision_makes_it() -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    picture = modalities.get("image").example(1)
    scale = transforms.Resize(224, interpolation=transforms.InterpolationMode.BICUBIC)
    reference = transforms.Compose([scale, transforms.CenterCrop(224), transforms.ToTensor()])
    thermal = ThermalPreprocessor(224)
    assert torch.equal(thermal(picture)[0], reference(picture.convert("L")))
    grey = np.asarray(picture.convert("L"))
    assert torch.equal(thermal(grey)[0], reference(picture.convert("L")))


def test_series_are_laid_over_the_steps() -> None:
    series = SeriesPreprocessor(2, 5)
    values = np.array([[0.0, 3.0], [4.0, 1.0], [8.0, -1.0]])
    assert series(values).tolist() == [[[0, 2, 4, 6, 8], [3, 2, 1, 0, -1]]]
    assert series(values[:1]).tolist() == [[[0] * 5, [3] * 5]]


@pytest.mark.parametrize(
    ("preprocess", "medium", "says"),
    [
        (DepthPreprocessor(4, 1.0), np.zeros((2, 2, 3)), r"found the shape \(2, 2, 3\), needed \[h w\], in metres"),
        (DepthPreprocessor(4, 1.0), np.zeros((0, 2)), r"found the shape \(0, 2\)"),
        (DepthPreprocessor(4, 1.0), "a.png", "found a str, needed an array of numbers"),
        (SeriesPreprocessor(6, 10), np.zeros((6, 90)), r"found numbers of the shape \(6, 90\), needed \[n 6\]"),
        (SeriesPreprocessor(6, 10), np.zeros((0, 6)), r"needed \[n 6\]"),
        (SeriesPreprocessor(1, 10), np.full((3, 1), np.nan), "finite ones"),
    ],
)
def test_what_is_no_such_medium_is_refused(preprocess, medium, says) -> None:
    with pytest.raises(MediumError, match=says) as caught:
        preprocess(medium)
    assert caught.value.reason


def test_a_package_brings_depth_and_imagebind_reads_it(depth, tmp_path) -> None:
    from modalink.model import compose
    from modalink.recipe import SystemSpec
    from modalink.testing.checkpoints import tiny_imagebind, tiny_llama

    encoder = {"kind": "imagebind", "checkpoint": str(tiny_imagebind(tmp_path / "i")), "modalities": ["image", "depth"]}
    inputs = {"image": {"encoder": encoder}, "depth": {"use": "image"}}
    for chosen in inputs.values():
        chosen["projector"] = {"kind": "linear"}
    data = {"inputs": inputs, "llm": {"checkpoint": str(tiny_llama(tmp_path / "l"))}}
    system = compose(SystemSpec.model_validate(data | {"prompt": {"template": "vicuna-v1.1"}}))
    talk = [
        {"type": "image", "image": modalities.get("image").example(0)},
        {"type": "depth", "depth": depth.example(0)},
    ]
    inputs = system.processor([{"role": "user", "content": talk}])
    with torch.no_grad():
        assert system.model(**inputs).logits.isfinite().all()
    assert inputs["depth_values"] is not None and {*system.model.model.encoders["image"].towers} == {"vision", "depth"}
