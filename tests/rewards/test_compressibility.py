"""The reward that weighs the file of a picture."""

import io

import numpy as np
import pytest
from PIL import Image

from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.kinds import parse
from modalink.rewards import Answered
from modalink.testing import check_reward

ASKED = Conversation((Turn("user", (Text("a red cube"),)),), "asked")


def drawn(spread: int) -> Answered:
    noise = np.random.default_rng(0).integers(128 - spread, 129 + spread, (64, 64, 3), dtype=np.uint8)
    return Answered(ASKED, (Text("Here."), Medium("image", Image.fromarray(noise))), {})


def test_it_is_minus_the_kilobytes_of_a_jpeg_file():
    config = parse("modalink.rewards", {"kind": "compressibility"})
    check_reward(config, [drawn(0), drawn(20), drawn(100)])
    picture, file = drawn(100).made("image")[0], io.BytesIO()
    picture.save(file, "JPEG", quality=95)
    (value,) = config.build().score([drawn(100)])
    assert value == -len(file.getvalue()) / 1000 < -1
    assert parse("modalink.rewards", {"kind": "compressibility", "quality": 10}).build().score([drawn(100)])[0] > value
    (judged,) = config.build().judge([Answered(ASKED, (Text("Here."),))])
    assert (judged.value, judged.why) == (None, "the reply made no picture")
    with pytest.raises(ValueError, match="less than or equal to 95"):
        parse("modalink.rewards", {"kind": "compressibility", "quality": 100})
