from typing import Any

import pytest
import torch

from modalink.errors import PartError
from modalink.kinds import parse
from modalink.projectors.outputs.mixer import MixerConfig
from modalink.projectors.outputs.mlp import MlpOutputConfig
from modalink.projectors.outputs.transformer import TransformerConfig
from modalink.testing import check_output_projector

SMALL = {"width": 16, "encoder_layers": 1, "decoder_layers": 2, "heads": 2, "feed_forward": 24}
MIXER = {"values": 24, "groups": 4, "width": 16, "heads": 2, "feed_forward": 24}


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "mlp"},
        {"kind": "mlp", "width": 8},
        {"kind": "transformer", **SMALL},
        {"kind": "transformer", **SMALL, "entry": "mlp", "activation": "gelu"},
        {"kind": "mixer", **MIXER},
        {"kind": "mixer", **MIXER, "layers": 2},
        {"kind": "mlp", "activation": "silu"},
        {"kind": "heads", "trunk": {"kind": "transformer", **SMALL}, "width": 8},
        {"kind": "heads", "trunk": {"kind": "mlp"}, "width": 8},
        {"kind": "flow", "width": 16, "layers": 1, "heads": 2, "feed_forward": 24, "steps": 3},
    ],
)
@pytest.mark.parametrize(("tokens_in", "tokens_out"), [(4, 6), (3, 3), (1, 5)])
def test_they_keep_the_promises_of_their_role(settings: dict[str, Any], tokens_in: int, tokens_out: int) -> None:
    config: Any = parse("modalink.projectors.outputs", settings)
    check_output_projector(config, tokens_in=tokens_in, tokens_out=tokens_out)


def test_every_signal_token_makes_its_own_conditions() -> None:
    """4 states, 6 conditions: 0 1 of the first, 2 of the second, 3 4 of the third, 5 of the last."""
    projector = MlpOutputConfig().build(dim_in=8, dim_out=5, tokens_in=4, tokens_out=6)
    states = torch.randn(1, 4, 8)
    changed = states.clone()
    changed[:, 2] += 1
    moved = (projector(states) - projector(changed)).abs().amax(dim=2)[0] > 0
    assert moved.tolist() == [False, False, False, True, True, False]


def test_more_signal_tokens_than_conditions_need_the_transformer() -> None:
    widths = {"dim_in": 8, "dim_out": 5, "tokens_in": 8, "tokens_out": 1}
    with pytest.raises(PartError, match="found 8 signal tokens for 1 conditions"):
        MlpOutputConfig().build(**widths)
    projector = TransformerConfig.model_validate(SMALL).build(**widths)
    assert projector(torch.randn(2, 8, 8)).shape == (2, 1, 5)


def test_a_width_that_no_head_divides_is_refused() -> None:
    with pytest.raises(PartError, match="found width 16, needed a multiple of heads = 3"):
        TransformerConfig.model_validate(SMALL | {"heads": 3}).build(dim_in=8, dim_out=5, tokens_in=4, tokens_out=6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"groups": 5}, "found values 24, needed a multiple of groups = 5"), ({"heads": 3}, "found width 16, needed")],
)
def test_a_mixer_that_cannot_be_divided_is_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(PartError, match=message):
        MixerConfig.model_validate(MIXER | settings).build(dim_in=8, dim_out=5, tokens_in=4, tokens_out=6)


def test_a_mixer_weighs_states_by_parameters_alone() -> None:
    """Without norm and Transformer, what two states add to the conditions is the sum of what each adds."""
    torch.manual_seed(0)
    projector = MixerConfig.model_validate(MIXER).build(dim_in=8, dim_out=5, tokens_in=2, tokens_out=6)
    projector.values[0], projector.transformer = torch.nn.Identity(), torch.nn.Identity()
    one, two, both = torch.randn(1, 2, 8), torch.randn(1, 2, 8), torch.zeros(1, 2, 8)
    one[:, 1], two[:, 0] = 0, 0
    torch.testing.assert_close(projector(one + two) + projector(both), projector(one) + projector(two))


def test_the_defaults_have_the_published_size_of_next_gpt() -> None:
    """NExT-GPT prints 31M for its image projector: 4096 -> 4 + 4 layers of 512 -> 77 x 768."""
    with torch.device("meta"):
        projector = TransformerConfig().build(dim_in=4096, dim_out=768, tokens_in=4, tokens_out=77)
    assert 31.0e6 < sum(parameter.numel() for parameter in projector.parameters()) < 32.0e6


def test_without_dropout_training_and_evaluation_agree() -> None:
    projector = TransformerConfig.model_validate(SMALL).build(dim_in=8, dim_out=5, tokens_in=4, tokens_out=6)
    states = torch.randn(2, 4, 8)
    trained = projector.train()(states)
    with torch.no_grad():
        assert torch.allclose(projector.eval()(states), trained, atol=1e-6)


def test_without_an_exit_the_transformer_makes_what_is_as_wide_as_itself() -> None:
    """MiniGPT-5 has none, NExT-GPT has one."""
    widths = {"dim_in": 8, "tokens_in": 4, "tokens_out": 6}
    settings = TransformerConfig.model_validate({**SMALL, "exit": "none"})
    projector = settings.build(dim_out=16, **widths)
    assert projector(torch.randn(2, 4, 8)).shape == (2, 6, 16)
    assert {name.partition(".")[0] for name, _ in projector.named_parameters()} == {*settings.sections()}
    assert {*settings.sections()} == {*TransformerConfig().sections()} - {"exit"}
    with pytest.raises(PartError, match="found exit: none and width 16, needed 5; set exit: linear"):
        settings.build(dim_out=5, **widths)
    assert settings.tiny().exit == "linear"
