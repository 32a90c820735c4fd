"""The projector that is none."""

import pytest
import torch

from modalink.errors import PartError
from modalink.projectors.inputs.identity import IdentityConfig
from modalink.ragged import Layout, Ragged
from modalink.testing import check_input_projector


def test_it_keeps_the_promises_of_its_role():
    check_input_projector(IdentityConfig(), dim_in=12, dim_out=12)


def test_it_gives_what_it_gets_and_has_no_parameters():
    item = Layout(2, (4, 4), (2, 2), times_s=(0.0, 1.0))
    projector = IdentityConfig().build(dim_in=8, dim_out=8, example=item)
    features = Ragged.of([torch.randn(8, 8)], [item])
    assert projector(features) is features and not list(projector.parameters())
    assert IdentityConfig().layout(item) is item and IdentityConfig().tiny() == IdentityConfig()


def test_another_width_is_refused():
    with pytest.raises(PartError, match=r"identity: found encoder tokens 8 wide, needed 16; .*llm.join.media_width: 8"):
        IdentityConfig().build(dim_in=8, dim_out=16, example=Layout(1, (4,), (2, 2)))
