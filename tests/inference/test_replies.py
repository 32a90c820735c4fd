"""Replies with several media: their order, what each was made from, how they are read again, stopped and left out."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from mixed import mixed_system, saying
from plug_in import installing
from whistle import RATE_HZ, WhistleConfig

from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.errors import GenerationError
from modalink.inference import Begun, Engine, Making, Request, Sampling, Session, Watch
from modalink.roles import Conditions
from modalink.testing.checkpoints import tiny_t5

SCRIPT = (None, "image", None, "audio", "audio", "image", None)
ORDER = ["image", "audio", "audio", "image"]


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """A session with a new system of both modalities; keywords as for `mixed_system`."""
    with installing() as install:
        install(WhistleConfig)
        yield lambda **options: Session(mixed_system(tmp_path_factory.mktemp("parts"), **options))


@pytest.fixture(scope="module")
def session(build):
    return build()


@pytest.fixture
def encoded(session):
    """How many items each encoder was given in each of its passes."""
    counts = {"image": [], "audio": []}
    hooks = [
        session.system.model.model.encoder(name).register_forward_hook(
            lambda module, args, output, name=name: counts[name].append(len(output))
        )
        for name in counts
    ]
    yield counts
    for hook in hooks:
        hook.remove()


def say(session, *script, asked="Make it.", **options):
    with saying(session.system, *script):
        return session.ask(asked, **options)


def kinds(content):
    return [piece.modality if isinstance(piece, Medium) else "text" for piece in content]


def same(one, other):
    return np.array_equal(np.asarray(one), np.asarray(other))


def test_text_and_media_of_any_modality_stand_in_their_order(session):
    answer = say(session, *SCRIPT, seed=5)
    assert kinds(answer.content) == ["text", "image", "text", "audio", "audio", "image", "text"]
    assert [modality for modality, _ in answer.media] == ORDER and answer.complete and not answer.notes
    assert [made.modality for made in answer.made] == ORDER
    assert [made.place for made in answer.made] == [1, 3, 4, 5]
    assert [made.seed for made in answer.made] == [5, 5, 6, 6]
    assert [made.options["steps"] for made in answer.made] == [2, 4, 4, 2]
    for made in answer.made:
        assert same(answer.content[made.place].source, made.medium)
        generator = session.system.generators[made.modality]
        rng = [torch.Generator().manual_seed(made.seed)]
        (again,) = generator.sample(
            made.conditions, rng=rng, **{k: v for k, v in made.options.items() if v is not None}
        )
        assert same(again, made.medium)
    assert len({str(made.conditions[name].sum()) for made in answer.made for name in made.conditions.tensors}) == 4


def test_the_engine_gives_the_conditions_of_each_medium_as_those_of_its_own_run(session):
    conversation = Conversation((Turn("user", (Text("Make it."),)),))
    request = Request(session.system.processor.prepare(conversation, reply=True), Sampling())
    with saying(session.system, *SCRIPT):
        (completion,) = session.engine.generate([request])
    ids = torch.tensor([[*request.prompt.input_ids, *completion.ids]])
    with torch.no_grad():
        found = session.system.model(input_ids=ids, return_conditions=True).conditions
    for modality, name in (("image", "tokens"), ("audio", "pitches")):
        own = Conditions.cat([made.conditions for made in completion.made if made.modality == modality])
        largest = float(found[modality][name].abs().max())
        assert torch.allclose(own[name], found[modality][name], atol=1e-4 * largest)


def test_mixed_replies_beside_others_are_those_that_come_alone(session):
    head = session.system.model.get_output_embeddings()
    before = head.new_rows.clone()
    with torch.no_grad():
        head.new_rows.copy_(2 * torch.randn(head.new_rows.shape, generator=torch.Generator().manual_seed(3)))
    try:
        talks = [Conversation((Turn("user", (Text(words),)),)) for words in ("Draw.", "Whistle it, please!", "And?")]
        requests = [
            Request(
                session.system.processor.prepare(talks[n % 3], reply=True),
                Sampling(max_new_tokens=14, temperature=1.0, seed=n, steps=1),
            )
            for n in range(12)
        ]
        alone = [Engine(session.system).generate([request])[0] for request in requests]
        together = Engine(session.system).generate(requests)
    finally:
        with torch.no_grad():
            head.new_rows.copy_(before)
    assert [own.ids for own in alone] == [other.ids for other in together]
    assert [kinds(own.content) for own in alone] == [kinds(other.content) for other in together]
    several = [own for own in alone if {"image", "audio"} <= {made.modality for made in own.made}]
    assert len(several) > 2
    for own, other in zip(alone, together, strict=True):
        for one, same_one in zip(own.made, other.made, strict=True):
            assert one.seed == same_one.seed
            for name, values in one.conditions.tensors.items():
                assert torch.allclose(values, same_one.conditions[name], atol=1e-4 * float(values.abs().max()))


def test_a_stream_tells_where_media_stand(session):
    messages = [{"role": "user", "content": "Make it."}]
    with saying(session.system, *SCRIPT):
        stream = session.stream(messages)
        pieces = list(stream.pieces())
    assert [piece for piece in pieces if isinstance(piece, Begun)] == [Begun(m, n) for n, m in enumerate(ORDER, 1)]
    assert "".join(piece for piece in pieces if isinstance(piece, str)) == stream.answer.text
    assert isinstance(pieces[0], str) and isinstance(pieces[-1], str)
    with saying(session.system, *SCRIPT):
        assert all(isinstance(piece, str) for piece in session.stream(messages))


@pytest.mark.parametrize("llm", [None, tiny_t5])
def test_what_was_made_is_read_in_the_turns_after_and_encoded_once(llm, build, session):
    if llm is not None:
        session = build(llm=llm, template="plain")
    counts = {"image": [], "audio": []}
    hooks = [
        session.system.model.model.encoder(name).register_forward_hook(
            lambda module, args, output, name=name: counts[name].append(len(output))
        )
        for name in counts
    ]
    first = say(session, "image", "audio", None, max_new_tokens=20)
    assert counts == {"image": [], "audio": []}, "nothing is encoded before somebody asks on"
    assert [piece.use for piece in first.content if isinstance(piece, Medium)] == ["both", "both"]
    prepared = session.system.processor.prepare(
        Conversation((*first.conversation.turns, Turn("user", (Text("What is it?"),)))), reply=True
    )
    assert {name: len(items) for name, items in prepared.media.items()} == {"image": 1, "audio": 1}
    for run in session.system.model.config.signals.values():
        assert prepared.input_ids.count(run[0]) == 1
    second = say(session, None, asked="What is it?", after=first.conversation)
    third = say(session, "audio", None, asked="Again.", after=second.conversation)
    say(session, None, asked="What does it sound like?", after=third.conversation)
    for hook in hooks:
        hook.remove()
    assert counts == {"image": [1], "audio": [1, 1]}


def test_what_was_made_and_what_was_shown_reach_the_next_condition(session):
    red, noisy = np.zeros((30, 40, 3), np.uint8), np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)
    red[..., 0] = 255

    def drawn(*pictures, made=None):
        before = None
        if made is not None:
            turns = (Turn("user", (Text("Draw."),)), Turn("assistant", (Medium("image", made, use="both"),)))
            before = Conversation(turns)
        return say(session, "image", asked="Make it blue.", image=list(pictures), after=before).made[0].conditions

    shown = [drawn(red)["tokens"], drawn(noisy)["tokens"], drawn(red, noisy)["tokens"], drawn(noisy, red)["tokens"]]
    made = [drawn(made=red)["tokens"], drawn(made=noisy)["tokens"]]
    for group in (shown, made):
        for number, one in enumerate(group):
            assert all((one - other).abs().max() > 1e-4 for other in group[:number])


def test_an_encoding_is_kept_for_the_same_weights_and_medium_alone(session, encoded):
    picture = np.random.default_rng(4).integers(0, 255, (30, 40, 3), np.uint8)
    say(session, None, image=picture)
    say(session, None, image=picture)
    assert encoded["image"] == [1]
    say(session, None, image=[picture, 255 - picture])
    assert encoded["image"] == [1, 1]
    weight = next(session.system.model.model.encoder("image").parameters())
    with torch.no_grad():
        weight.mul_(1.0)
    say(session, None, image=picture)
    assert encoded["image"] == [1, 1, 1]
    fresh = Engine(session.system, keeps=100)
    conversation = Conversation((Turn("user", (Medium("image", picture), Text("What?"))),))
    request = Request(session.system.processor.prepare(conversation, reply=True), Sampling(max_new_tokens=3))
    answers = [fresh.generate([request])[0].ids for _ in range(2)]
    assert answers[0] == answers[1] == Engine(session.system).generate([request])[0].ids
    assert encoded["image"] == [1, 1, 1, 1, 1, 1], "nothing that is larger than the room is kept"


def test_a_modality_that_is_not_read_stands_as_its_signal_tokens(build):
    deaf = build(reads=("image",))
    first = say(deaf, "audio", "image", None)
    assert [piece.use for piece in first.content if isinstance(piece, Medium)] == [None, "both"]
    again = Conversation((*first.conversation.turns, Turn("user", (Text("And?"),))))
    prepared = deaf.system.processor.prepare(again, reply=True)
    assert [*prepared.media] == ["image"] and {m: len(r) for m, r in prepared.signals.items()} == {
        "image": 1,
        "audio": 1,
    }
    assert say(deaf, None, asked="And?", after=first.conversation).complete


def test_a_medium_that_its_encoder_refuses_is_noted_and_stands_as_its_signal_tokens(session, monkeypatch):
    generator = session.system.generators["audio"]
    monkeypatch.setattr(type(generator), "_wave", lambda self, pitches, times, phase: np.full(9, np.nan, np.float32))
    first = say(session, "audio", None)
    assert first.content[0].use is None and len(first.notes) == 1
    assert "audio that was made cannot be read, and stands as its signal tokens" in first.notes[0]
    assert say(session, None, asked="What is it?", after=first.conversation).complete


def test_steps_are_told_and_the_making_alone_is_stopped(session):
    seen = []
    whole = say(session, *SCRIPT, watch=Watch(on_step=seen.append), seed=1)
    assert seen[:2] == [Making("image", 1, 0, 2), Making("image", 1, 1, 2)]
    assert [(making.modality, making.number) for making in seen if not making.step] == [
        *zip(ORDER, (1, 2, 3, 4), strict=True)
    ]
    asked, last = iter(range(99)), next(place for place, m in enumerate(seen) if (m.number, m.step) == (2, 2))
    stopped = say(session, *SCRIPT, watch=Watch(should_stop=lambda: next(asked) >= last), seed=1)
    assert (stopped.text, stopped.complete) == (whole.text, True)
    assert kinds(stopped.content) == ["text", "image", "text"]
    assert same(stopped.media[0][1], whole.media[0][1]) and len(stopped.media) == 1
    assert [bool(made.missing) for made in stopped.made] == [False, True, True, True]
    assert "audio 2: a medium was stopped after 2 of 4 steps" in stopped.notes[0]
    assert "".join(piece.text for piece in stopped.content if isinstance(piece, Text)).split() == whole.text.split()
    after = say(session, *SCRIPT, seed=1)
    assert all(same(one, other) for (_, one), (_, other) in zip(after.media, whole.media, strict=True)), (
        "as if never stopped"
    )


@pytest.mark.parametrize("beams", [1, 3])
def test_there_are_no_more_media_than_are_allowed(beams, session):
    def wild(**options):
        with saying(session.system, *["image", "audio"] * 20):
            return session.ask("Make it.", max_new_tokens=30, beams=beams, steps=1, **options)

    assert [modality for modality, _ in wild(max_media=3).media] == (["image", "audio", "image"])
    assert wild(max_media=0).media == []


@pytest.mark.parametrize("room", range(1, 8))
def test_an_answer_that_is_cut_has_whole_media_only(room, session):
    answer = say(session, None, "image", "audio", None, None, max_new_tokens=room)
    expected = ["text", *["image"] * (room > 3), *["audio"] * (room > 5), *["text"] * (room in (5, 7))]
    assert kinds(answer.content) == expected and not answer.complete
    runs = session.system.model.config.signals
    assert (
        all(len(made.conditions) == 1 for made in answer.made)
        and sum(len(runs[m.modality]) for m in answer.made) <= room
    )


def test_without_its_generators_a_system_says_what_it_would_make(session):
    bare = Session(replace(session.system, generators={}))
    whole, answer = say(session, *SCRIPT), say(bare, *SCRIPT, steps=3)
    assert answer.text == whole.text and answer.media == [] and kinds(answer.content) == ["text"]
    assert [made.modality for made in answer.made] == ORDER
    assert (
        answer.notes[1] == "audio 2: it asks for audio, whose generator was left out; load the run with its generators"
    )
    assert torch.equal(answer.made[0].conditions["tokens"], whole.made[0].conditions["tokens"])


def test_options_go_to_the_generators_that_take_them_and_are_refused_before_a_word(session):
    answer = say(session, "image", "audio", steps=3, seconds=0.5, guidance=2.0)
    image, sound = answer.made
    assert (image.options["steps"], image.options["guidance"]) == (3, 2.0) and "seconds" not in image.options
    assert (sound.options["steps"], sound.options["seconds"]) == (3, 0.5) and len(sound.medium.values) == RATE_HZ // 2
    with pytest.raises(GenerationError, match="found frames, which outputs"):
        session.ask("Hi", frames=9)


@contextmanager
def diverged(session, modality):
    """The output projector of a modality makes NaN."""
    parameters = [*session.system.model.output_projectors[modality].parameters()]
    before = [parameter.detach().clone() for parameter in parameters]
    with torch.no_grad():
        for parameter in parameters:
            parameter.fill_(float("nan"))
    yield
    with torch.no_grad():
        for parameter, values in zip(parameters, before, strict=True):
            parameter.copy_(values)


def test_what_a_generator_refuses_is_noted_and_the_rest_of_the_answer_is_kept(session):
    whole = say(session, *SCRIPT, seed=5)
    with diverged(session, "audio"):
        answer = say(session, *SCRIPT, seed=5)
        with saying(session.system, *SCRIPT):
            stream = session.stream([{"role": "user", "content": "Make it."}], seed=5)
            assert "".join(stream) == answer.text == whole.text
    for found in (answer, stream.answer):
        assert kinds(found.content) == ["text", "image", "text", "image", "text"] and found.complete
        assert all(same(found.media[own][1], whole.media[other][1]) for own, other in ((0, 0), (1, 3)))
        assert [(made.medium is None, made.place) for made in found.made] == [
            (False, 1), (True, None), (True, None), (False, 3),
        ]  # fmt: skip
        assert len(found.notes) == 2
        assert found.notes[0].startswith("audio 2: conditions: found NaN or infinite numbers in 'pitches' of item 0")
        assert found.notes[1].startswith("audio 3: ")
    assert say(session, None, asked="And?", after=answer.conversation).complete


def test_a_request_whose_medium_is_refused_harms_no_other_of_its_batch(session):
    talk = Conversation((Turn("user", (Text("Make it."),)),))
    prompt = session.system.processor.prepare(talk, reply=True)
    requests = [Request(prompt, Sampling(seed=seed, size=(16, 33 if seed == 1 else 32))) for seed in range(3)]
    alone = []
    for request in requests:
        with saying(session.system, *SCRIPT):
            alone += Engine(session.system).generate([request])
    with saying(session.system, *SCRIPT):
        together = Engine(session.system).generate(requests)
    assert [kinds(one.content).count("image") for one in together] == [2, 0, 2]
    assert [kinds(one.content).count("audio") for one in together] == [2, 2, 2]
    assert [len(one.missing) for one in together] == [0, 2, 0]
    assert together[1].missing[0].startswith("image 1: size: found 33 x 16 px")
    for own, other in zip(alone, together, strict=True):
        assert own.text == other.text and own.missing == other.missing
        assert kinds(own.content) == kinds(other.content)


def test_a_notebook_shows_and_plays_an_answer_in_its_order(session, monkeypatch):
    page = say(session, None, "image", "audio", None)._repr_html_()
    kinds_shown = [line[:40].split(";")[0] for line in page.splitlines()]
    assert [kind.startswith(("<p>", "<span")) for kind in kinds_shown] == [True] * 4 and kinds_shown[0][:3] == "<p>"
    assert page.index("data:image/png") < page.index("data:audio/wav") and "://" not in page
    generator = session.system.generators["audio"]
    monkeypatch.setattr(type(generator), "_wave", lambda self, pitches, times, phase: np.full(9, np.nan, np.float32))
    assert "NaN" in say(session, "audio", None)._repr_html_()
