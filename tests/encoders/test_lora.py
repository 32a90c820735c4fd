"""LoRA in encoders: who gets adapters, who learns, whose windows they see, and that it merges."""

import pytest
import torch
from peft.tuners.lora import LoraLayer

from modalink.adapters import adapted, merge_adapters
from modalink.encoders import built
from modalink.encoders.tiles import TilesConfig
from modalink.encoders.vision import VisionConfig
from modalink.errors import PartError
from modalink.kinds import parse
from modalink.ragged import Layout, Ragged
from modalink.testing.checkpoints import tiny_beats, tiny_clip_vision

LORA = {"rank": 2, "alpha": 4}
WINDOWS = LORA | {"per_window": True}


@pytest.fixture(scope="module")
def vision(tmp_path_factory):
    return str(tiny_clip_vision(tmp_path_factory.mktemp("lora") / "vision"))


def tiles(vision, lora, **tiles):
    inner = {"kind": "vision", "checkpoint": vision}
    return TilesConfig(encoder=inner, tiles={"grids": [[1, 2]], "fit": "stretch"} | tiles, lora=lora)


def stirred(encoder):
    """The encoder, as if its adapters had learned something."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if ".lora_" in name:
                parameter.copy_(0.3 * torch.randn_like(parameter))
    return encoder


def learned(encoder):
    """Names and parameters of the adapters, which alone are to learn."""
    encoder.requires_grad_(False)
    found = {name: parameter for name, parameter in encoder.named_parameters() if ".lora_" in name}
    for parameter in found.values():
        parameter.requires_grad_(True)
    return found


def pictures(count, layout, side=32):
    units = torch.randn(count * layout.units, 3, side, side, generator=torch.Generator().manual_seed(0))
    return Ragged(units, (layout.units,) * count, (layout,) * count)


@pytest.mark.parametrize("dora", [False, True])
def test_at_first_it_changes_nothing_and_a_gradient_reaches_it_alone(vision, dora):
    """Of three blocks the last is not read at layer -2, so nothing stands in it."""
    items = pictures(2, Layout.of_units(1))
    config = VisionConfig(checkpoint=vision, lora=LORA | {"dora": dora})
    encoder, bare = built(config), built(VisionConfig(checkpoint=vision))
    torch.testing.assert_close(encoder(items).values, bare(items).values, atol=1e-6, rtol=1e-5)
    assert adapted(encoder) == dict.fromkeys(("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"), 2)
    own = learned(stirred(encoder))
    encoder(items).values.square().sum().backward()
    assert [name for name, parameter in own.items() if parameter.grad is None or not parameter.grad.any()] == []
    assert all(parameter.grad is None for name, parameter in encoder.named_parameters() if name not in own)


def test_ranks_and_targets_are_those_that_were_asked_for(vision):
    lora = LORA | {"targets": ["q_proj", "fc1"], "ranks": {"fc1": 4}}
    encoder = built(VisionConfig(checkpoint=vision, lora=lora))
    layers = {name.rpartition(".")[2]: m for name, m in encoder.named_modules() if isinstance(m, LoraLayer)}
    assert {name: next(iter(layer.r.values())) for name, layer in layers.items()} == {"q_proj": 2, "fc1": 4}
    assert {next(iter(layer.scaling.values())) for layer in layers.values()} == {2.0}


@pytest.mark.parametrize("dora", [False, True])
def test_merged_it_is_the_plain_encoder_that_says_the_same(vision, dora):
    items = pictures(2, Layout.of_units(1))
    encoder = stirred(built(VisionConfig(checkpoint=vision, lora=LORA | {"dora": dora})))
    before = encoder(items).values
    merge_adapters(encoder)
    torch.testing.assert_close(encoder(items).values, before, atol=1e-4, rtol=1e-4)
    assert encoder.state_dict().keys() == built(VisionConfig(checkpoint=vision)).state_dict().keys()


@pytest.mark.parametrize("thumbnail", ["first", "last", "none"])
def test_each_adapter_sees_its_own_window_alone(vision, thumbnail):
    """The loss of one window reaches exactly its adapters; that of the thumbnail reaches none."""
    config = tiles(vision, WINDOWS, thumbnail=thumbnail)
    encoder = stirred(built(config))
    own = learned(encoder)
    layout = Layout.of_units(2 + (thumbnail != "none"), tiles=(1, 2), thumbnail_last=thumbnail == "last")
    windows = [unit for unit in range(layout.units) if unit != layout.thumbnail]
    for unit in range(layout.units):
        tokens = torch.stack(list(encoder(pictures(2, layout)))).unflatten(1, (layout.units, -1))[:, unit]
        tokens.square().sum().backward()
        reached = {name for name, p in own.items() if p.grad is not None and p.grad.any()}
        assert reached == ({n for n in own if f"window_{windows.index(unit)}." in n} if unit in windows else set())
        assert bool(reached) == (unit in windows)
        encoder.zero_grad()


def test_a_window_reads_as_one_adapter_of_the_same_weights_and_the_thumbnail_as_none(vision):
    layout = Layout.of_units(3, tiles=(1, 2))
    items = pictures(2, layout)
    encoder = stirred(built(tiles(vision, WINDOWS)))
    made = torch.stack(list(encoder(items))).unflatten(1, (3, -1))
    bare = built(tiles(vision, None))
    plain = torch.stack(list(bare(items))).unflatten(1, (3, -1))
    torch.testing.assert_close(made[:, 0], plain[:, 0], atol=1e-5, rtol=1e-5)
    weights = encoder.state_dict()
    for window in (0, 1):
        alone = built(tiles(vision, LORA))
        named = {name: name.replace(".modalink.", f".modalink_window_{window}.") for name in alone.state_dict()}
        alone.load_state_dict({name: weights[theirs] for name, theirs in named.items()})
        found = torch.stack(list(alone(items))).unflatten(1, (3, -1))[:, window + 1]
        torch.testing.assert_close(made[:, window + 1], found, atol=1e-4, rtol=1e-4)
        assert (made[:, window + 1] - plain[:, window + 1]).abs().max() > 1e-2


def test_windows_of_other_numbers_are_refused_and_cannot_be_merged(vision):
    encoder = built(tiles(vision, WINDOWS))
    with pytest.raises(PartError, match="found an image of 4 windows, needed 2"):
        encoder(pictures(1, Layout.of_units(4, tiles=(2, 2))))
    with pytest.raises(PartError, match=r"2 adapters stand beside tower.*one for each window.*cannot be merged"):
        merge_adapters(encoder)
    items = pictures(2, Layout.of_units(1))
    torch.testing.assert_close(encoder(items).values, built(tiles(vision, None))(items).values)


def test_encoders_of_other_origin_carry_it(tmp_path):
    """BEATs is no model of transformers."""
    checkpoint = str(tiny_beats(tmp_path / "beats"))
    encoder = built(parse("modalink.encoders", {"kind": "beats", "checkpoint": checkpoint, "lora": LORA}))
    assert adapted(encoder) == {"project": 1} | dict.fromkeys(
        ("query", "key", "value", "out", "gates", "up", "down"), 2
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lora": WINDOWS}, "needed an encoder that cuts all images into as many windows: kind: tiles"),
        ({"lora": LORA | {"targets": ["fc1"], "ranks": {"q_proj": 4}}}, "found a rank of q_proj, which is none of"),
        ({"lora": WINDOWS | {"dora": True}}, "found per_window and dora"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(vision, change, words):
    with pytest.raises(ValueError, match=words):
        VisionConfig(checkpoint=vision, **change)


def test_it_stands_in_the_whole_encoder_beside_layers_that_are_there(vision):
    with pytest.raises(ValueError, match=r"found lora in the vision inside of tiles.*write lora beside kind: tiles"):
        TilesConfig(encoder={"kind": "vision", "checkpoint": vision, "lora": LORA})
    with pytest.raises(ValueError, match="as many windows"):
        tiles(vision, WINDOWS, grids=[[1, 2], [2, 1]])
    with pytest.raises(PartError, match=r"no linear layer is called query \(lora.targets\); its layers are fc1, fc2"):
        built(VisionConfig(checkpoint=vision, lora=LORA | {"targets": ["query"]}))
    with pytest.raises(PartError, match=r"no linear layer is called query \(lora.ranks\)"):
        built(VisionConfig(checkpoint=vision, lora=LORA | {"ranks": {"query": 4}}))
