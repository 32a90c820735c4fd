"""AnimateDiff. That its numbers are the pipeline's, `docs/tools/parity/generators/animatediff.py` holds."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from modalink.errors import GenerationError, PartError
from modalink.generators.animatediff import AnimateDiffConfig
from modalink.generators.stable_diffusion import StableDiffusionConfig
from modalink.roles import Conditions
from modalink.testing import check_generator
from modalink.testing.checkpoints import tiny_stable_diffusion
from modalink.testing.pipelines import tiny_motion_adapter

_DOWN = ("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D")
_UP = ("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> AnimateDiffConfig:
    pipeline = tiny_stable_diffusion(tmp_path_factory.mktemp("pipeline"))
    motion = tiny_motion_adapter(tmp_path_factory.mktemp("motion"))
    return AnimateDiffConfig(checkpoint=str(pipeline), motion=str(motion), frames=3)


def sources(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_it_keeps_the_promises_of_its_role(config: AnimateDiffConfig) -> None:
    check_generator(config)


def test_conditions_of_pictures_drive_it_as_they_are(config: AnimateDiffConfig) -> None:
    """One projector drives both: what it makes for pictures is what clips read, and words mean the same to both."""
    pictures, clips = StableDiffusionConfig(checkpoint=config.checkpoint).build(), config.build()
    assert clips.condition_shapes == pictures.condition_shapes
    words = ["a red cube", ""]
    assert torch.equal(clips.encode_text(words)["tokens"], pictures.encode_text(words)["tokens"])
    projector = torch.nn.Linear(8, 32)
    conditions = Conditions({"tokens": projector(torch.randn(2, 16, 8)).detach()})
    images = pictures.sample(conditions, rng=sources(0, 1), steps=2)
    films = clips.sample(conditions, rng=sources(0, 1), steps=2)
    assert [film.size for film in films] == [image.size for image in images]
    assert [film.num_frames for film in films] == [3, 3]


def test_without_motion_each_frame_is_restored_as_a_picture(config: AnimateDiffConfig) -> None:
    """Measured 3e-16 of the largest number; with motion, frames are restored together."""
    pictures, clips = StableDiffusionConfig(checkpoint=config.checkpoint).build().double(), config.build().double()
    conditions, time = Conditions({"tokens": torch.randn(2, 16, 32).double()}), torch.tensor(500)
    noisy = torch.randn(2, 4, 3, 16, 16).double()
    moved = clips.predict(noisy, time, conditions)
    for name, parameter in clips.unet.named_parameters():
        if "motion_modules" in name and "proj_out" in name:
            parameter.zero_()
    still = clips.predict(noisy, time, conditions)
    for frame in range(3):
        expected = pictures.predict(noisy[:, :, frame], time, conditions)
        assert (still[:, :, frame] - expected).abs().max() <= 1e-9 * expected.abs().max()
    assert (moved - still).abs().max() > 1e-3


def test_both_checkpoints_are_its_own(config: AnimateDiffConfig) -> None:
    assert config.checkpoints() == ((config.checkpoint, None), (config.motion, None))


def test_it_makes_no_more_frames_than_its_adapter_knows_times(config: AnimateDiffConfig) -> None:
    with pytest.raises(PartError, match=r"cannot make: found 9 frames \(1.125 s\), needed at most 8"):
        config.replace(frames=9).build()
    conditions = Conditions({"tokens": torch.randn(1, 16, 32)})
    with pytest.raises(GenerationError, match=r"found 9 frames \(1.125 s\), needed at most 8 \(1 s\)"):
        config.build().sample(conditions, rng=sources(0), frames=9)


def test_an_adapter_that_does_not_fit_is_refused(config: AnimateDiffConfig, tmp_path: Path) -> None:
    folder = tiny_motion_adapter(tmp_path)
    (file,) = folder.glob("*.safetensors")
    tensors = load_file(file)
    save_file(dict(sorted(tensors.items())[1:]), file, metadata={"format": "pt"})
    with pytest.raises(PartError, match="lacks parameters that the model needs"):
        config.replace(motion=str(folder)).build()
    with pytest.raises(PartError, match=r"found a 'UNet2DConditionModel', needed a motion adapter"):
        config.replace(motion=str(Path(config.checkpoint) / "unet")).build()
    other = tiny_stable_diffusion(
        tmp_path / "wider", block_out_channels=(8, 16, 16), down_block_types=_DOWN, up_block_types=_UP
    )
    with pytest.raises(PartError, match="it does not fit the UNet of"):
        config.replace(checkpoint=str(other)).build()


def test_the_published_adapter_builds_without_network_or_memory() -> None:
    config = AnimateDiffConfig(checkpoint="stable-diffusion-v1-5/stable-diffusion-v1-5")
    with torch.device("meta"):
        bare = config.build(weights=False)
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in bare.named_children()}
    assert sizes == {"unet": 859_520_964 + 453_209_280, "vae": 83_653_863, "text_encoder": 123_060_480}
    assert (bare.most_frames, bare.latent_shape(bare.defaults)) == (32, (4, 16, 64, 64))
    assert (bare.solver.config.beta_schedule, bare.solver.config.timestep_spacing) == ("linear", "linspace")
