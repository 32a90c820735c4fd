"""Checks by scores: of a reward, and of a run that is asked how likely answers are."""

import json
import math

import numpy as np
import pytest
from typer.testing import CliRunner

from modalink.conversation import Conversation
from modalink.data.output import ledger_of
from modalink.data.sources.messages import MessagesConfig
from modalink.data.sources.tiny_world import TinyWorldConfig
from modalink.data.writers.messages import MessagesWriterConfig
from modalink.data_quality.check import Context
from modalink.data_quality.checks import dependency
from modalink.data_quality.checks.duplicates import DuplicatesConfig
from modalink.data_quality.filtering import keep_good, scores_of
from modalink.data_quality.likelihood import Likelihoods
from modalink.errors import DataError, OptionError
from modalink.inference import load


@pytest.fixture(scope="module")
def run(make_reader, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    make_reader(folder).save(folder / "mine" / "model")
    return folder / "mine"


@pytest.fixture(scope="module")
def captions():
    source = TinyWorldConfig(count=6, tasks={"caption": 1.0}).open()
    return [source[number] for number in range(6)]


def test_likelihoods_are_the_same_alone_and_together(run, captions):
    system = load(run).system
    prepared = [system.prepare(conversation) for conversation in captions]
    together = Likelihoods(system, batch=4).of(prepared)
    alone = [Likelihoods(system, batch=1).of([one])[0] for one in prepared]
    assert np.allclose(together, alone, rtol=1e-4)
    learned = [sum(label != -100 for label in one.labels) for one in prepared]
    vocabulary = system.model.language_model.config.get_text_config().vocab_size
    # random weights know nothing: each token costs about as much as any other
    assert all(
        0.5 < -total / count / math.log(vocabulary) < 1.5 for total, count in zip(together, learned, strict=True)
    )


def test_dependency_compares_with_the_media_of_others(look, run, captions, talk, monkeypatch):
    """By likelihoods that are known: an answer costs 10 nats with its own picture, 20 with others."""
    shown = [next(row.media())[1].source for row in captions]

    def known(self, prepared):
        # the picture tells whose it is by its digest, the words by their labels
        return [
            -10.0 if one.media["image"][0].digest == own[tuple(t for t in one.labels if t >= 0)] else -20.0
            for one in prepared
        ]

    system = load(run).system
    own = {}
    for row in captions:
        one = system.prepare(row)
        own[tuple(t for t in one.labels if t >= 0)] = one.media["image"][0].digest
    monkeypatch.setattr(Likelihoods, "of", known)
    swapped = Conversation.from_messages(
        [{"role": "user", "content": [{"type": "image", "image": shown[0]}, "what?"]}, captions[1].to_messages()[1]],
        "bad",
    )
    short = talk("what?", "a ring", shown[0])
    seen, faults, facts = look(
        "dependency", [*captions[1:], swapped, short, talk("a?", "b c d e f")], run=str(run), others=4
    )
    assert seen == [(5, "independent")]
    # own -20; others: three of -20 and, where it is drawn, the right one of -10
    assert "nats likelier with its own media than with those of 4 others, needed 5" in faults[0].detail
    assert facts["not judged by dependency"] == 2
    assert facts["nats by own media"]["median"] == pytest.approx(10.0)


def test_dependency_is_the_mutual_information(look, run, captions, monkeypatch):
    monkeypatch.setattr(dependency, "_TOGETHER", 2)
    rows = captions[:3]
    _, _, facts = look("dependency", rows, run=str(run), others=2, least=-1e9)
    system = load(run).system
    likelihoods = Likelihoods(system)
    media = [tuple(medium for _, medium in row.media()) for row in rows]
    table = [likelihoods.of([system.prepare(dependency._showing(row, m)) for m in media]) for row in rows]
    scores = [
        table[n][n] - np.log(np.mean(np.exp([table[n][m] - table[n][n] for m in range(3) if m != n]))) - table[n][n]
        for n in range(3)
    ]
    assert facts["nats by own media"]["least"] == pytest.approx(min(scores), abs=2e-3)
    assert facts["nats by own media"]["most"] == pytest.approx(max(scores), abs=2e-3)


def test_what_a_run_cannot_read_is_not_scored(look, run, captions, talk):
    heard = [
        {"role": "user", "content": [{"type": "points", "points": np.zeros((9, 3))}]},
        {"role": "assistant", "content": "a b c d e f"},
    ]
    seen, _, _ = look(
        "dependency", [talk("?", "a b c d e f", "gone.png"), heard, *captions[:2]], run=str(run), least=-1e9
    )
    assert seen == [(0, "not_scored"), (1, "not_scored")]


def test_scores_are_kept(look, run, captions, tmp_path, monkeypatch):
    context = Context(scores=tmp_path / "s.scores")
    first = look("dependency", captions, context, run=str(run), others=3)
    monkeypatch.setattr(Likelihoods, "of", lambda self, prepared: pytest.fail("was measured again"))
    assert look("dependency", captions, context, run=str(run), others=3) == first
    assert len(context.scores.read_text().splitlines()) == 6
    context.scores.write_text("[1]\n")
    with pytest.raises(DataError, match="line 1: found"):
        look("dependency", captions, context, run=str(run), others=3)


def test_a_reward_judges_each_answer(look, talk):
    two = [*talk("a?", "one two three"), *talk("b?", "one two one two one two one two")]
    rows = [talk("a?", "x y z"), two, [{"role": "assistant", "content": "a document"}]]
    reward = {"kind": "length", "least": 4, "most": 100, "unit": "words"}
    seen, faults, facts = look("reward", rows, reward=reward, least=0)
    assert seen == [(0, "low_score"), (1, "low_score")]
    assert faults[1].detail.startswith("length gives turn 1 -1, needed 0")
    assert facts["score by length"] == {"least": -1, "median": -1, "95 %": 0, "most": 0}
    assert look("reward", rows, reward=reward, least=0, turns="last")[0] == [(0, "low_score")]


def test_a_judge_behind_an_address_sees_pictures_and_resumes(look, talk, picture, chat_server, tmp_path):
    context = Context(scores=tmp_path / "s.scores")
    reward = {"kind": "judge", "url": chat_server.url, "model": "m", "retries": 0}
    rows = [talk("a?", "b", picture(0)), talk("a?", "c"), talk("a?", "d")]
    chat_server.answers = ["fine. Score: 9"] * 3
    assert look("reward", rows[:1], context, reward=reward, least=0.6)[0] == []
    assert chat_server.asked[0]["messages"][0]["content"][0]["image_url"]["url"].startswith("data:image/png")
    chat_server.answers = ["Score: 2"]
    seen, faults, _ = look("reward", rows[:2], context, reward=reward, least=0.6)
    assert seen == [(1, "low_score")] and "judge gives turn 1 0.111, needed 0.6" in faults[0].detail
    chat_server.answers = ["no idea"]
    assert look("reward", rows, context, reward=reward, least=0.6)[0] == [(1, "low_score"), (2, "not_scored")]
    assert len(chat_server.asked) == 3


@pytest.fixture
def chats(tmp_path):
    said = [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b"}]
    rows = [{"id": "x", "messages": said, "license": "MIT"}, {"messages": 3}, {"id": "y", "messages": said}]
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_what_is_good_is_written_and_the_rest_has_its_reasons(chats, tmp_path):
    out = tmp_path / "good.jsonl"
    found = keep_good(
        MessagesConfig(path=str(chats)), [DuplicatesConfig()], Context(), MessagesWriterConfig(), out, keep=["license"]
    )
    assert (found.checked.samples, found.written) == (3, 1)
    assert found.left_out == {"bad_messages": 1, "duplicate": 1}
    (row,) = map(json.loads, out.read_text().splitlines())
    assert row["id"] == "x" and row["license"] == "MIT"
    lines = [json.loads(line) for line in ledger_of(out).read_text().splitlines()]
    assert [(line["step"], line["sample"], line["reason"]) for line in lines] == [
        (1, f"{chats}, line 2", "bad_messages"), (2, "y", "duplicate"),
    ]  # fmt: skip
    assert lines[1]["detail"] == "duplicates: says and shows the same as x"
    with pytest.raises(OptionError, match="is there already"):
        keep_good(MessagesConfig(path=str(chats)), [], Context(), MessagesWriterConfig(), out)


def test_the_command(chats, tmp_path, run):
    from modalink.cli.main import app

    out = tmp_path / "good.jsonl"
    options = ["--out", out, "--also", f"{{kind: dependency, run: {run}}}", "--without", "personal"]
    result = CliRunner().invoke(app, ["data", "filter", str(chats), *map(str, options)])
    assert result.exit_code == 0, result.stderr
    assert f"{out}: 1 of 3 samples; a recipe reads them by" in result.stdout
    assert "dropped: 2 samples\nleft out: " in result.stdout and "not checked: benchmarks" in result.stdout
    assert scores_of(out).name == "good.scores" and not scores_of(out).exists()
    again = CliRunner().invoke(app, ["data", "filter", str(chats), "--json", *map(str, options)])
    assert again.exit_code == 2 and "is there already" in again.stderr
