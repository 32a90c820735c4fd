"""Joins out of checkpoints: under whose names, what is refused, what is saved.

That the weights make the original's numbers here is held by `test_visual_expert.py` for CogVLM, and by
`tests/interop/test_idefics.py` for IDEFICS.
"""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from modalink.errors import PartError
from modalink.kinds import parse
from modalink.model import System, compose
from modalink.recipe import SystemSpec
from modalink.roles import JoinConfig
from modalink.testing.checkpoints import tiny_clip_vision, tiny_llama
from modalink.testing.released_idefics import tiny_idefics

WIDTH, INNER = 16, 24
HUB = {
    "model.layers.{}.self_attn.vision_expert_query_key_value.weight": (3 * WIDTH, WIDTH),
    "model.layers.{}.self_attn.vision_expert_dense.weight": (WIDTH, WIDTH),
    "model.layers.{}.mlp.vision_mlp.gate_proj.weight": (INNER, WIDTH),
    "model.layers.{}.mlp.vision_mlp.up_proj.weight": (INNER, WIDTH),
    "model.layers.{}.mlp.vision_mlp.down_proj.weight": (WIDTH, INNER),
}
"""Names of CogVLM on the hub; those of its repository in the same order."""
REPOSITORY = (
    "mixins.rotary.vision_query_key_value_list.{}.weight",
    "mixins.rotary.vision_dense_list.{}.weight",
    "mixins.mlp.vision_gate_proj.{}.weight",
    "mixins.mlp.vision_dense_h_to_4h_list.{}.weight",
    "mixins.mlp.vision_dense_4h_to_h_list.{}.weight",
)
LANGUAGE = ("model.layers.0.self_attn.language_expert_query_key_value.weight", "lm_head.weight", "model.norm.weight")


def llm(layers=2):
    sizes = {"hidden_size": WIDTH, "num_attention_heads": 2, "intermediate_size": INNER, "vocab_size": 32}
    return LlamaForCausalLM(LlamaConfig(**sizes, num_hidden_layers=layers))


def cogvlm(around="model.vision", names=tuple(HUB), layers=2):
    """Seeded experts and vectors, beside what else the checkpoint has."""
    torch.manual_seed(0)
    shapes = {name.format(n): shape for n in range(layers) for name, shape in zip(names, HUB.values(), strict=True)}
    shapes |= {f"{around}.{vector}": (1, 1, WIDTH) for vector in ("boi", "eoi")}
    return {name: torch.randn(shape) for name, shape in shapes.items()} | {name: torch.ones(3) for name in LANGUAGE}


def borrowed(folder, held, layers=2, **settings):
    save_file(held, folder / "model.safetensors")
    around = {} if "without" in settings else {"begin": True, "end": True}
    config = parse(JoinConfig.room, {"kind": "visual_expert", "checkpoint": str(folder), **around, **settings})
    join = config.build(llm(layers), ["image"])
    config.borrow(join, config.borrowed())
    return join


@pytest.mark.parametrize(("around", "names"), [("model.vision", tuple(HUB)), ("mixins.eva", REPOSITORY)])
def test_cogvlms_experts_by_both_its_names(tmp_path, around, names):
    held = cogvlm(around, names)
    join = borrowed(tmp_path, held)
    for number, twins in enumerate(join.layers):
        qkv, out, gate, up, down = (held[name.format(number)] for name in names)
        assert torch.equal(torch.cat([twins[f"self_attn_{letter}_proj"].weight for letter in "qkv"]), qkv)
        for name, tensor in (("self_attn_o", out), ("mlp_gate", gate), ("mlp_up", up), ("mlp_down", down)):
            assert torch.equal(twins[f"{name}_proj"].weight, tensor)
    assert torch.equal(join.vectors.begin.weight, held[f"{around}.boi"][0])
    assert torch.equal(join.vectors.end.weight, held[f"{around}.eoi"][0])
    assert join.vectors.begin.weight is not join.vectors.end.weight


@pytest.mark.parametrize(
    ("edit", "settings", "says"),
    [
        (lambda held: held.pop("model.layers.1.mlp.vision_mlp.up_proj.weight"), {}, "lacks .*layers.1.mlp_up_proj"),
        (lambda held: None, {"layers": 1}, "holds tensors that are not here: layers.1.mlp_down_proj.weight"),
        (lambda held: None, {"layers": 3}, "lacks parameters that are needed: layers.2.mlp_down_proj.weight"),
        (lambda held: None, {"every": 2}, "was trained with every 1, found 2; set every: 1"),
        (lambda held: None, {"positions": "each"}, "was trained with positions shared, found each"),
        (lambda held: None, {"end": False}, "holds tensors that are not here: vectors.end.weight"),
        (
            lambda held: held.clear() or held.update(x=torch.ones(1)),
            {},
            "found no tensors of a join of kind visual_exp",
        ),
        (
            lambda held: held.update({"model.layers.0.self_attn.vision_expert_dense.weight": torch.ones(4, WIDTH)}),
            {},
            r"layers.0.self_attn_o_proj.weight has the shape \(4, 16\), needed \(16, 16\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, edit, settings, says):
    held = cogvlm()
    edit(held)
    with pytest.raises(PartError, match=says):
        borrowed(tmp_path, held, **settings)


def test_settings_that_idefics_was_trained_with_are_demanded(tmp_path):
    source = str(tiny_idefics(tmp_path, cross_layer_interval=2))
    sizes = {"media_width": 24, "heads": 4, "head_width": 8, "feed_forward_width": 64, "norm": "rms", "gated": True}
    settings = {"kind": "gated_cross_attention", "checkpoint": source, **sizes, "activation": "silu", "norm_eps": 1e-6}
    own = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 32}
    decoder = LlamaForCausalLM(LlamaConfig(**own, num_hidden_layers=2))
    config = parse(JoinConfig.room, settings | {"every": 1})
    with pytest.raises(PartError, match="was trained with every 2, found 1; set every: 2"):
        config.borrow(config.build(decoder, ["image"]), config.borrowed())
    config = parse(JoinConfig.room, settings | {"every": 2})
    join = config.build(decoder, ["image"])
    config.borrow(join, config.borrowed())
    held = load_file(tmp_path / "model.safetensors")
    row = held["model.embed_tokens.additional_embedding.weight"][1:2]
    assert len(join.blocks) == 1 and torch.equal(join.tokens.weight, row)
    assert torch.equal(join.blocks[0].key.weight, held["model.gated_cross_attn_layers.0.cross_attn.k_proj.weight"])
    assert config.tiny().checkpoints() == () and config.trial().checkpoints() == ()


OPEN_FLAMINGO = {
    "attn.norm.weight": (WIDTH,),
    "attn.norm.bias": (WIDTH,),
    "attn.to_q.weight": (128, WIDTH),
    "attn.to_kv.weight": (256, 12),
    "attn.to_out.weight": (WIDTH, 128),
    "attn_gate": (1,),
    "ff.0.weight": (WIDTH,),
    "ff.0.bias": (WIDTH,),
    "ff.1.weight": (4 * WIDTH, WIDTH),
    "ff.3.weight": (WIDTH, 4 * WIDTH),
    "ff_gate": (1,),
}
"""Names in a block of mlfoundations/open_flamingo@655f693, open_flamingo/src/helpers.py, for media of width 12."""


def open_flamingo(folder, path, layers, **settings):
    """What the join takes of a checkpoint with blocks in these layers, and the checkpoint."""
    torch.manual_seed(0)
    names = {
        f"{path}.{n}.gated_cross_attn_layer.{name}": shape for n in layers for name, shape in OPEN_FLAMINGO.items()
    }
    held = {name: torch.randn(shape) for name, shape in names.items()}
    beside = {"perceiver.latents": torch.ones(2, 12), f"{path}.0.decoder_layer.norm.weight": torch.ones(WIDTH)}
    save_file(held | beside, folder / "model.safetensors")
    sizes = {"heads": 2, "head_width": 64, "media_width": 12, "activation": "gelu", "without": ["tokens"]}
    known = {"kind": "gated_cross_attention", "checkpoint": str(folder), "every": 2, "first": 1}
    config = parse(JoinConfig.room, known | sizes | settings)
    join = config.build(llm(layers=4), ["image"])
    config.borrow(join, config.borrowed())
    return join, held


@pytest.mark.parametrize("path", ["lang_encoder.model.layers", "module.lang_encoder.transformer.blocks"])
def test_openflamingos_blocks_stand_in_the_layers_that_they_stand_before(tmp_path, path):
    join, held = open_flamingo(tmp_path, path, [1, 3])
    assert [*join.numbers] == [1, 3]
    for block, layer in zip(join.blocks, (1, 3), strict=True):
        theirs = {name: held[f"{path}.{layer}.gated_cross_attn_layer.{name}"] for name in OPEN_FLAMINGO}
        assert torch.equal(torch.cat([block.key.weight, block.value.weight]), theirs.pop("attn.to_kv.weight"))
        ours = [block.attention_norm.weight, block.attention_norm.bias, block.query.weight, block.out.weight]
        ours += [block.attention_gate, block.feed_forward_norm.weight, block.feed_forward_norm.bias]
        ours += [block.up.weight, block.down.weight, block.feed_forward_gate]
        assert all(torch.equal(mine, tensor) for mine, tensor in zip(ours, theirs.values(), strict=True))


@pytest.mark.parametrize(
    ("layers", "settings", "says"),
    [
        ([3], {}, "lacks parameters that are needed: blocks.0"),
        ([0, 1, 3], {}, "holds tensors that are not here: blocks.before_layer_0"),
        ([1, 3], {"activation": "silu"}, "was trained with activation gelu, found silu"),
        ([1, 3], {"heads": 4, "head_width": 32}, "was trained with head_width 64, found 32"),
        ([1, 3], {"without": []}, "lacks parameters that are needed: tokens.weight"),
    ],
)
def test_blocks_of_openflamingo_in_other_layers_are_refused(tmp_path, layers, settings, says):
    with pytest.raises(PartError, match=says):
        open_flamingo(tmp_path, "lang_encoder.model.layers", layers, **settings)


@pytest.mark.parametrize("without", [[], ["vectors"]])
def test_what_is_a_checkpoints_alone_is_saved_by_reference(tmp_path, without):
    """A join with vectors of its own is saved in full, and loads where the checkpoint is no longer there."""
    vision, text = str(tiny_clip_vision(tmp_path / "vision")), str(tiny_llama(tmp_path / "llm"))
    config = LlamaConfig.from_pretrained(text)
    width, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    heads = (
        config.num_attention_heads + 2 * config.num_key_value_heads
    )  # as CogVLM2's LLM, with fewer of keys and values
    scale = {WIDTH: width, 3 * WIDTH: width * heads // config.num_attention_heads, INNER: inner, 1: 1}
    held = {
        name: torch.randn([scale[side] for side in tensor.shape])
        for name, tensor in cogvlm(layers=layers).items()
        if name not in LANGUAGE
    }
    (tmp_path / "cogvlm").mkdir()
    save_file(held, tmp_path / "cogvlm/model.safetensors")
    join = {"kind": "visual_expert", "checkpoint": str(tmp_path / "cogvlm"), "without": without}
    spec = SystemSpec.model_validate(
        {
            "inputs": {"image": {"encoder": {"kind": "vision", "checkpoint": vision}, "projector": {"kind": "mlp"}}},
            "llm": {"checkpoint": text, "join": join | {"begin": True, "end": True}},
            "prompt": {"template": "vicuna-v1.1"},
        }
    )
    system = compose(spec)
    learns = {name for name, p in system.model.model.join.named_parameters() if p.requires_grad}
    assert learns == ({"vectors.begin.weight", "vectors.end.weight"} if without else set())
    system.save(tmp_path / "saved")
    kept = json.loads((tmp_path / "saved/config.json").read_text())["references"]
    names = load_file(tmp_path / "saved/model.safetensors")
    assert ("llm.join" in kept) == (not without)
    assert any(name.startswith("model.join.layers") for name in names) == bool(without)
    if without:
        (tmp_path / "cogvlm/model.safetensors").unlink()
    again = System.load(tmp_path / "saved").model.state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in system.model.state_dict().items())
