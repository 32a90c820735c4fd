"""What was made is read at once, so that what is said behind it in the same reply sees it."""

import numpy as np
import pytest
import torch
from mixed import mixed_spec, mixed_system, saying
from plug_in import installing
from whistle import WhistleConfig

from modalink import modalities
from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.errors import GenerationError, PartError
from modalink.inference import Engine, Request, Sampling, Session
from modalink.model import Prepared, compose
from modalink.model.collating import collate
from modalink.recipe import SystemSpec
from modalink.testing.checkpoints import tiny_t5

SCRIPT = ("image", "read", None, "image", "read", None)
"""What is said in each pass of the head; behind a medium its reading is a pass of its own."""


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    with installing() as install:
        install(WhistleConfig)
        yield Session(mixed_system(tmp_path_factory.mktemp("parts"), read_back=("image",)))


@pytest.fixture
def encoded(session):
    """How many pictures the encoder was given in each of its passes."""
    counts = []
    hook = session.system.model.model.encoder("image").register_forward_hook(
        lambda module, args, output: counts.append(len(output))
    )
    yield counts
    hook.remove()


def asked(session, question="Make it.", *pictures, media=True, **options):
    turn = Turn("user", (*(Medium("image", picture) for picture in pictures), Text(question)))
    prompt = session.system.processor.prepare(Conversation((turn,)), reply=True)
    return Request(prompt, Sampling(max_new_tokens=20, **options), media=media)


def generate(session, *requests, script=SCRIPT):
    with saying(session.system, *script):
        return Engine(session.system, keeps=2**20).generate(requests)


def plain(session, request, ids, *forms):
    """The conditions of one pass over the prompt and such tokens, without a cache."""
    prompt, media = request.prompt, [*request.prompt.media.get("image", [])]
    token, row, places = session.system.processor.tokens.placeholders["image"], list(prompt.input_ids), []
    for piece in ids:
        row += piece.input_ids if isinstance(piece, Prepared) else [piece]
    media += [item for form in forms for item in form.media["image"]]
    held = iter([place for place, own in enumerate(row) if own == token])
    places = [[next(held) for _ in range(item.tokens)] for item in media]
    run = session.system.model.config.signals["image"]
    starts = [place for place, own in enumerate(row) if own == run[0]]
    signals = [[*range(start, start + len(run))] for start in starts]
    sample = Prepared("all", row, row, {"image": media}, {}, {"image": places}, {"image": signals})
    inputs = collate([sample], packed=True, pad_id=0).inputs(logits=False)
    with torch.no_grad():
        return session.system.model(**inputs | {"return_conditions": True}).conditions["image"]["tokens"]


def test_what_is_said_behind_a_medium_sees_it(session):
    picture = np.random.default_rng(1).integers(0, 255, (30, 40, 3), np.uint8)
    request = asked(session, "Make two.", picture)
    (completion,) = generate(session, request)
    made = completion.conditions["image"]["tokens"]
    form = session.system.processor.medium_prompt("image", completion.made[0].medium)
    between = [*completion.ids[:3], form, *completion.ids[3:7]]
    torch.testing.assert_close(made, plain(session, request, between, form), rtol=1e-3, atol=1e-4)
    blind = plain(session, request, completion.ids[:7])
    torch.testing.assert_close(made[0], blind[0], rtol=1e-3, atol=1e-4)
    assert (made[1] - blind[1]).abs().max() > 1e-3
    other = session.system.processor.medium_prompt("image", picture)
    changed = plain(session, request, [*completion.ids[:3], other, *completion.ids[3:7]], other)
    assert (made[1] - changed[1]).abs().max() > 1e-4, "it is this picture that is seen"


def test_it_is_encoded_once_also_for_the_turns_after(session, encoded):
    with saying(session.system, *SCRIPT):
        answer = session.ask("Make it.", max_new_tokens=20)
    digests = {modalities.get("image").open(medium).digest for _, medium in answer.media}
    assert len(answer.media) == 2, (answer.content, answer.notes)
    assert (encoded, len(digests)) == ([1, 1], 2)
    with saying(session.system, None):
        session.ask("What is it?", after=answer.conversation)
    assert encoded == [1, 1]
    # Where it stood when it was made, it stands in training and in the turns after.
    ids, run = session.system.processor.prepare(answer.conversation).input_ids, session.system.model.config.signals
    form = session.system.processor.medium_prompt("image", answer.media[0][1]).input_ids
    start = ids.index(run["image"][0])
    assert ids[start : start + 3 + len(form)] == [*run["image"], *form]


def test_beside_others_and_streamed_it_is_the_same(session):
    requests = [asked(session, "Draw."), asked(session, "Draw me a very large red cube, please.")]
    together = generate(session, *requests, script=("image", "read", "read", None, None, None))
    assert all(len(one.made) == 1 for one in together)
    for request, one in zip(requests, together, strict=True):
        (alone,) = generate(session, request, script=("image", "read", None, None, None))
        assert np.array_equal(alone.made[0].medium, one.made[0].medium)
        with saying(session.system, "image", "read", None, None, None):
            *_, streamed = Engine(session.system).stream(request)
        assert streamed.ids == alone.ids and streamed.text == alone.text
        assert alone.ids[:3] == one.ids[:3]


def test_nothing_is_read_where_nothing_is_made(session, encoded):
    (bare,) = generate(session, asked(session, media=False), script=("image", None))
    assert encoded == [] and bare.made == () and len(bare.conditions["image"]) == 1
    session.system.generators, own = {}, session.system.generators
    (left_out,) = generate(session, asked(session), script=("image", None))
    session.system.generators = own
    assert encoded == [] and left_out.made[0].missing


def test_the_room_of_the_llm_holds_what_is_read(session):
    limit = session.system.model.config.get_text_config().max_position_embeddings
    question = "cube " * (limit // 2)
    taken = len(asked(session, question).prompt.input_ids)
    form = session.system.processor.medium_prompt("image", np.zeros((8, 8, 3), np.uint8)).input_ids
    while taken + len(form) + 8 < limit:
        question += "cube "
        taken = len(asked(session, question).prompt.input_ids)
    (completion,) = generate(session, asked(session, question), script=("image", *[None] * 20))
    assert completion.made[0].medium is not None and taken + len(completion.ids) <= limit


def test_beams_and_what_cannot_read_in_the_middle_are_refused(session, tmp_path):
    with pytest.raises(
        GenerationError, match=r"found beams: 2, and image that is made is read in the middle of the re"
    ):
        generate(session, asked(session, beams=2))
    assert generate(session, asked(session, beams=2, media=False), script=())[0].made == ()
    with pytest.raises(
        ValueError, match=r"outputs.image.read_back: found no input 'image', needed one that reads what"
    ):
        SystemSpec.model_validate(mixed_spec(tmp_path / "a", reads=("audio",), read_back=("image",)))
    spec = mixed_spec(tmp_path / "b", llm=tiny_t5, template="plain", read_back=("image",))
    with pytest.raises(PartError, match=r"outputs.image.read_back: found an encoder-decoder, needed a decoder"):
        compose(SystemSpec.model_validate(spec))
