"""Shap-E: the numbers of diffusers' pipelines, meshes that can be written, and what it refuses."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import ShapEImg2ImgPipeline, ShapEPipeline
from PIL import Image

from modalink.errors import GenerationError, PartError, Stopped
from modalink.generators.shap_e import ShapE, ShapEConfig
from modalink.modalities import points
from modalink.roles import Conditions, Denoises, ReadsText
from modalink.tensor_files import weights_digest
from modalink.testing import check_generator
from modalink.testing.shape_pipelines import tiny_shap_e

CAPTIONS = ["a red cube", "two blue circles"]
PICTURES = [Image.new("RGB", (24, 40), color) for color in ("red", "navy")]
PIPELINES: dict[str, Any] = {"text": ShapEPipeline, "image": ShapEImg2ImgPipeline}


def sources(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ShapEConfig]:
    """In double precision: how the surface runs between points of the grid is then the same in a batch and alone."""
    places = {reads: tmp_path_factory.mktemp(reads) for reads in PIPELINES}
    for reads, place in places.items():
        tiny_shap_e(place, reads=reads, dtype=torch.float64)
    return {reads: ShapEConfig(checkpoint=str(place), reads=reads, grid=8, steps=3) for reads, place in places.items()}


@pytest.fixture
def generator(configs: dict[str, ShapEConfig]) -> Any:
    return configs["text"].build()


@pytest.mark.parametrize("reads", PIPELINES)
def test_it_keeps_the_promises_of_its_role(configs: dict[str, ShapEConfig], reads: str) -> None:
    check_generator(configs[reads])


@pytest.mark.parametrize("guidance", [1.0, 15.0])
@pytest.mark.parametrize("reads", PIPELINES)
def test_latents_and_meshes_are_those_of_the_pipeline(
    configs: dict[str, ShapEConfig], reads: str, guidance: float
) -> None:
    ours = configs[reads].build()
    pipeline = PIPELINES[reads].from_pretrained(configs[reads].checkpoint, torch_dtype=torch.float64)
    pipeline.set_progress_bar_config(disable=True)
    if reads == "text":
        asked, conditions = CAPTIONS, ours.encode_text(CAPTIONS)
    else:
        asked = pipeline.image_processor(PICTURES, return_tensors="pt").pixel_values
        conditions = ours.encode_images(PICTURES)
    options: dict[str, Any] = {"num_inference_steps": 3, "guidance_scale": guidance}
    latents = pipeline(asked, generator=sources(5, 6), output_type="latent", **options).images
    found = ours.sample_latents(conditions, rng=sources(5, 6), steps=3, guidance=guidance)
    assert (found - latents).abs().max() < 1e-9 * latents.abs().max()
    mesh = pipeline.shap_e_renderer.decode_to_mesh(latents[:1], "cpu", grid_size=8)
    (cloud,) = ours.sample(conditions.take([0]), rng=sources(5), steps=3, guidance=guidance)
    assert np.array_equal(cloud.faces, mesh.faces.numpy())
    assert np.abs(cloud.points - mesh.verts.numpy()).max() < 1e-4
    channels = np.stack([mesh.vertex_channels[channel].numpy() for channel in "RGB"], -1)
    assert np.abs(cloud.colors - channels).max() < 1e-4


def test_the_direction_of_a_vector_alone_is_read_and_nothing_is_zeros(generator: Any) -> None:
    conditions = generator.encode_text(CAPTIONS)
    lengths = conditions["pooled"].norm(dim=-1)
    assert torch.allclose(lengths, torch.full_like(lengths, 20**0.5))
    longer = Conditions({"pooled": 7 * conditions["pooled"]})
    one, other = (generator.sample_latents(c, rng=sources(1, 2), steps=2) for c in (conditions, longer))
    assert torch.allclose(one, other, rtol=0, atol=1e-9)
    assert not generator.null_conditions(2)["pooled"].any()
    nothing = generator.sample_latents(conditions, rng=sources(1, 2), steps=2, negative=generator.null_conditions(1))
    assert torch.equal(one, nothing)


def test_meshes_are_written_and_read_back_whole(generator: Any, tmp_path: Path) -> None:
    (mesh,) = generator.sample(generator.encode_text(CAPTIONS[:1]), rng=sources(0))
    assert len(mesh.points) > 100 and len(mesh.faces) > 100
    for suffix in (".glb", ".ply"):
        points.write(mesh, tmp_path / f"shape{suffix}")
        read = points.read(tmp_path / f"shape{suffix}")
        assert (read.points.shape, read.faces.shape) == (mesh.points.shape, mesh.faces.shape)
        assert np.abs(read.colors - mesh.colors).max() < 0.01


def test_a_finer_grid_makes_more_triangles_and_needs_no_other_latents(configs: dict[str, ShapEConfig]) -> None:
    counts = []
    for grid in (6, 12):
        generator = configs["text"].replace(grid=grid).build()
        (mesh,) = generator.sample(generator.encode_text(CAPTIONS[:1]), rng=sources(0))
        counts.append(len(mesh.faces))
    assert counts[1] > 2 * counts[0]


def test_sampling_leaves_the_frozen_weights_as_they_were(generator: Any) -> None:
    before = weights_digest(generator)
    versions = [p._version for p in generator.parameters()]
    generator.sample(generator.encode_text(CAPTIONS), rng=sources(0, 1))
    assert versions == [p._version for p in generator.parameters()]
    assert weights_digest(generator) == before


def test_it_stops_between_steps_and_within_the_mesh(generator: Any) -> None:
    conditions, calls = generator.encode_text(CAPTIONS[:1]), iter(range(99))
    with pytest.raises(Stopped, match="after 4 of 5 steps"):
        generator.sample(conditions, rng=sources(0), steps=3, should_stop=lambda: next(calls) == 4)
    calls = iter(range(99))
    with pytest.raises(Stopped, match="before the mesh of item 0 was made"):
        generator.sample(conditions, rng=sources(0), steps=3, should_stop=lambda: next(calls) == 6)


def _filled(generator: Any, value: float) -> None:
    generator.renderer.mlp.mlp[-1].bias[0] = value


def test_a_shape_without_a_surface_is_told_and_a_full_one_is_a_cube(generator: Any) -> None:
    conditions = generator.encode_text(CAPTIONS[:1])
    with torch.no_grad():
        _filled(generator, -1e4)
    with pytest.raises(GenerationError, match="item 0: found no surface, since no point of the grid lies inside"):
        generator.sample(conditions, rng=sources(0))
    with torch.no_grad():
        _filled(generator, 1e4)
    (mesh,) = generator.sample(conditions, rng=sources(0))
    corners = mesh.points[mesh.faces]
    volume = (corners[:, 0] * np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert 0.9 * 8 * (7 / 9) ** 3 < volume < 8  # seven of nine cells of each side, and what the border adds


def test_half_precision_walks_and_renders_in_float32(tmp_path: Path) -> None:
    generator = ShapEConfig(checkpoint=str(tiny_shap_e(tmp_path)), dtype="bfloat16", grid=6).build()
    assert (generator.prior.dtype, generator.renderer.dtype) == (torch.bfloat16, torch.float32)
    conditions = generator.encode_text(CAPTIONS[:1])
    assert conditions["pooled"].dtype == torch.bfloat16
    assert generator.sample_latents(conditions, rng=sources(0), steps=2).dtype == torch.float32
    (mesh,) = generator.sample(conditions, rng=sources(0), steps=2)
    assert np.isfinite(mesh.points).all()


def test_it_has_the_abilities_that_it_can_keep(configs: dict[str, ShapEConfig]) -> None:
    text, image = (configs[reads].build() for reads in ("text", "image"))
    assert isinstance(text, ReadsText) and not isinstance(image, ReadsText)
    assert not isinstance(text, Denoises) and not isinstance(image, Denoises)


def test_what_does_not_fit_is_refused(configs: dict[str, ShapEConfig], tmp_path: Path) -> None:
    with pytest.raises(PartError, match=r"found no image_encoder, which `reads: image` asks for"):
        configs["text"].replace(reads="image").build()
    with pytest.raises(
        PartError, match=r"its prior makes 16 x 16 numbers with 32 outputs each, the renderer reads 12 x"
    ):
        wrong = tiny_shap_e(tmp_path / "wrong", d_hidden=6, param_shapes=((6, 93), (6, 6)))
        ShapEConfig(checkpoint=str(wrong)).build()
    place = Path(shutil.copytree(configs["text"].checkpoint, tmp_path / "bare"))
    bare: Any = configs["text"].build().renderer
    bare.mesh_decoder.masks.zero_()
    bare.save_pretrained(place / "shap_e_renderer")
    with pytest.raises(PartError, match="found no triangles in the renderer's table of marching cubes"):
        configs["text"].replace(checkpoint=str(place)).build()


def test_guidance_is_that_of_the_variant() -> None:
    found = [ShapEConfig(checkpoint="x", **more).guidance for more in ({}, {"reads": "image"})]
    assert found == [15.0, 3.0]
    assert ShapEConfig(checkpoint="x", reads="image", guidance=4.0).guidance == 4.0


@pytest.mark.parametrize(
    ("reference", "reads", "prior", "tower", "condition"),
    [
        ("openai/shap-e", "text", 315_696_128, 123_650_304, ("pooled", (768,))),
        ("openai/shap-e-img2img", "image", 315_960_320, 303_179_776, ("tokens", (256, 1024))),
    ],
)
def test_published_pipelines_build_without_network_or_memory(
    reference: str, reads: Any, prior: int, tower: int, condition: tuple[str, tuple[int, ...]]
) -> None:
    config = ShapEConfig(checkpoint=reference, reads=reads)
    with torch.device("meta"):
        bare: ShapE = config.build(weights=False)
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in bare.named_children()}
    assert sizes == {"prior": prior, "renderer": 226_297_286, "tower": tower}
    assert [(name, shape.item) for name, shape in config.condition_shapes().items()] == [condition]
    assert bare.latent_shape(bare.defaults) == (1024, 1024)
