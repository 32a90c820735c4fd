"""Prompts alone become requests for media, or it is said why not."""

import pickle

import pytest

from modalink.conversation import Conversation, Medium, Text, Turn, Unmade
from modalink.errors import MediumError, SampleError
from modalink.model.items import Item
from modalink.model.prepared import Prepared
from modalink.training.requesting import Requesting

ASKED = Turn("user", (Text("Draw a red cube. "),))
MADE = Turn("assistant", (Medium("image", Unmade.UNMADE, caption="Draw a red cube.", use="made"),))
ONE = Requesting(("image",), ("image",))


def test_a_prompt_alone_is_answered_by_the_medium_behind_the_words():
    for reply in ((), (Turn("assistant", (Text(" "),)),)):
        assert ONE(Conversation((ASKED, *reply), "a")) == Conversation((ASKED, MADE), "a")
    worded = Requesting(("image",), ("image",), "Here it is: ")(Conversation((ASKED,), "a"))
    assert worded.turns[-1].content == (Text("Here it is: "), *MADE.content)


def test_what_shall_be_made_is_what_the_objective_is_about():
    found = Requesting(("image", "audio"), ("audio",))(Conversation((ASKED,)))
    assert [medium.modality for _, medium in found.media()] == ["audio"]


def test_a_reply_that_stands_there_stays():
    for content in ((Text("I cannot draw."),), (Medium("image", "a.png"),)):
        talk = Conversation((ASKED, Turn("assistant", content)))
        assert ONE(talk) is talk


def test_a_prompt_of_media_alone_has_no_caption():
    shown = Turn("user", (Medium("image", "a.png"),))
    (_, _), (_, made) = ONE(Conversation((shown,))).media()
    assert made.caption is None and made.source is Unmade.UNMADE


@pytest.mark.parametrize(
    ("requesting", "turns", "words"),
    [
        (ONE, (), "a: found neither a reply nor words that ask for one"),
        (ONE, (Turn("user", (Text(" "),)),), "needed a prompt in the user's last turn"),
        (ONE, (ASKED, MADE, Turn("assistant", ())), "needed a prompt in the user's last turn"),
        (Requesting(("image", "audio"), ("image", "audio")), (ASKED,), "image or audio can be made; say which by `mod"),
        (Requesting(("image",), ()), (ASKED,), "the system makes image by signal tokens; change the objective's"),
        (Requesting((), ()), (ASKED,), "the system makes nothing by signal tokens"),
    ],
)
def test_what_cannot_be_made_is_said(requesting: Requesting, turns: tuple[Turn, ...], words: str):
    with pytest.raises(SampleError, match=words):
        requesting(Conversation(turns, "a"))


def test_what_is_yet_to_be_made_is_never_loaded_and_says_so_where_an_objective_learns_it():
    item = Item.to_make("a", "image", "a cube")
    sample = Prepared("a", [1], [1], targets={"image": [pickle.loads(pickle.dumps(item))]})
    assert sample.loaded().targets == sample.targets
    with pytest.raises(
        MediumError, match="a: found a request for image without a medium, and an objective that learns"
    ):
        item.load()
