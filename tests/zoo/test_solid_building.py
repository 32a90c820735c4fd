"""What the tiny Shap-E learns from: depths inside solids, and the renderer's own network."""

import numpy as np
import pytest
import torch

from modalink.tiny_world.solids import sculpting
from modalink.tiny_world.solids.bodies import SOLIDS, Bodies, Solid, sample_bodies
from modalink.zoo.build import solid_renderer
from modalink.zoo.build.solid_fields import NUMBERS, Placed, field, numbers, place_all
from modalink.zoo.build.solid_renderer import Student, srgb


def cloud_of(solid: Solid) -> np.ndarray:
    return sculpting.sculpt(Bodies((solid,), 7))[:, :3].astype(np.float64)


@pytest.mark.parametrize("name", SOLIDS)
def test_points_of_a_surface_have_no_depth(name: str) -> None:
    """But those of a jack's bars that lie inside another; and the world's jitter moves points and whole solids."""
    solid = Solid(name, "red", "large", "straight", "center")
    depths, _ = field([Placed.exact(solid)], cloud_of(solid))
    share = np.mean(np.abs(depths) < 0.1)
    assert share > 0.95 if name != "jack" else share > 0.8
    assert depths.min() > -0.12


@pytest.mark.parametrize("name", SOLIDS)
def test_a_solid_holds_its_middle_unless_it_has_a_hole_and_nothing_far_away(name: str) -> None:
    placed = [Placed.exact(Solid(name, "red", "small", "tilted", place)) for place in ("left", "right")]
    depths, _ = field(placed, np.array([[-0.5, 0, 0], [0.5, 0, 0], [0, 0, 0], [-0.5, 0.9, 0]]))
    assert (depths[:2] > 0).all() == (name != "torus")
    assert (depths[2:] < 0).all()


def test_depth_is_the_distance_to_the_surface_of_a_ball_and_the_nearest_solid_gives_the_colour() -> None:
    placed = [
        Placed.exact(Solid("sphere", colour, "small", "straight", place))
        for colour, place in (("red", "left"), ("blue", "right"))
    ]
    depths, colours = field(placed, np.array([[-0.5, 0.1, 0.0], [0.3, 0.0, 0.0]]))
    assert depths == pytest.approx([0.16, 0.06])
    assert colours * 255 == pytest.approx(np.array([[220, 35, 40], [45, 75, 230]]))


def test_what_chance_leaves_open_stays_near_the_usual() -> None:
    bodies = sample_bodies(5, "train")
    for one, exact in zip(place_all(bodies, np.random.default_rng(0)), map(Placed.exact, bodies.solids), strict=True):
        assert one.radius == pytest.approx(exact.radius, rel=0.06)
        assert one.middle == pytest.approx(exact.middle, abs=0.06)
        assert one.angle != exact.angle
    assert numbers(place_all(bodies, np.random.default_rng(0))).shape == (2 * NUMBERS + 1,)


def test_the_student_asks_the_network_that_the_renderer_makes_of_latents() -> None:
    torch.manual_seed(0)
    student = Student().double()
    latents, points = torch.rand(1, 64, 8).double() * 2 - 1, torch.rand(1, 40, 3).double() * 2 - 1
    depths, colours = student(latents, points)
    state = student.renderer.mlp.state_dict()
    for name, value in student.renderer.params_proj(latents).items():
        state[name.removeprefix("nerstf.")].copy_(value[0])
    expected = student.renderer.mlp(position=points, direction=None, ts=None, nerf_level="fine", rendering_mode="stf")
    assert (depths - expected.signed_distance[..., 0]).abs().max() < 1e-9
    assert (colours - expected.channels).abs().max() < 1e-9


def test_colours_are_what_a_mesh_makes_linear_again() -> None:
    from diffusers.pipelines.shap_e.renderer import _convert_srgb_to_linear

    shades = np.linspace(0, 1, 23)
    assert _convert_srgb_to_linear(torch.from_numpy(srgb(shades))).numpy() == pytest.approx(shades, abs=1e-6)


def test_points_that_are_asked_for_lie_about_the_surface_and_everywhere() -> None:
    points, depths, _ = solid_renderer.ask(
        place_all(sample_bodies(1, "train"), np.random.default_rng(0)), np.random.default_rng(1)
    )
    assert np.abs(points).max() <= 1 and points.std(0).min() > 0.25
    assert 0.3 < np.mean(np.abs(depths) < 1) < 0.9 and 0.1 < np.mean(depths > 0) < 0.7
