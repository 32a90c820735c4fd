"""Every kind of encoder has a tiny form that ships and reads the same; ImageBind one for each of its modalities."""

from typing import Any

import pytest

from modalink.kinds import kinds, parse

ROOM = "modalink.encoders"

_INSIDE = {
    "tiles": {"encoder": {"kind": "vision", "checkpoint": "some/tower"}},
    "frames": {"encoder": {"kind": "vision", "checkpoint": "some/tower"}},
    "several": {"encoders": [{"kind": "vision", "checkpoint": "some/tower"}] * 2},
}


@pytest.mark.parametrize("kind", sorted(kinds(ROOM).keys() - {"imagebind"}))
def test_every_encoder_has_a_tiny_form_that_reads_the_same(kind: str) -> None:
    config: Any = parse(ROOM, {"kind": kind, **_INSIDE.get(kind, {"checkpoint": "some/tower"})})
    tiny = config.tiny()
    assert config.reads() == tiny.reads()
    assert all(checkpoint.startswith("zoo:") for checkpoint, _ in tiny.checkpoints())
    assert tiny.tiny() == tiny
