"""Judges: a server or a run of one's own reads question and reply; what cannot be read is asked for again."""

import json

import pytest
from pydantic import ValidationError

from modalink.kinds import parse
from modalink.rewards import judge as judging
from modalink.testing.requirements import check_settings


def config(**settings):
    return parse("modalink.rewards", {"kind": "judge", **settings})


class TestServer:
    def test_it_reads_question_reply_and_facts_and_sees_the_picture(self, chat_server, reply, tmp_path):
        chat_server.answers = ["Right, if short.\nScore: 8"]
        record = tmp_path / "said.jsonl"
        prompt = "Q {question} R {reply} A {answer}"
        judge = config(url=chat_server.url, model="j", prompt=prompt, record=str(record), system="Be fair.")
        check_settings(judge)
        (found,) = judge.build().judge([reply("Two {x}", answer="2")])
        assert found.value == pytest.approx(7 / 9) and found.why == "Right, if short."
        system, user = chat_server.asked[0]["messages"]
        picture, words = user["content"]
        assert system == {"role": "system", "content": "Be fair."}
        assert picture["image_url"]["url"].startswith("data:image/png;base64,")
        assert words == {"type": "text", "text": "Q How many cubes are there? R Two {x} A 2"}
        assert json.loads(record.read_text())["reply"] == "Right, if short.\nScore: 8"

    def test_what_cannot_be_read_is_asked_again_and_in_the_end_has_no_score(self, chat_server, reply):
        chat_server.answers = ["Well.", "Score: 1", "Hm.", "Score: 11", "No number"]
        judge = config(url=chat_server.url, model="j", shows=False)
        (found,) = judge.build().judge([reply("Two")])
        assert found.value == 0.0 and [asked["temperature"] for asked in chat_server.asked] == [0.0, 0.7]
        (found,) = judge.build().judge([reply("Two")])
        assert found.value is None and found.applies and found.why == "the judge's reply cannot be read: 'No number'"

    def test_it_says_nothing_of_a_record_without_the_fact_that_it_reads(self, chat_server, reply):
        (found,) = config(url=chat_server.url, model="j", prompt="{reply} {answer}").build().judge([reply("Two")])
        assert not found.applies and found.why == "the record tells no 'answer'" and not chat_server.asked


def test_a_run_of_ones_own_judges_all_together(monkeypatch, make_reader, reply, tmp_path):
    from modalink.inference import Session

    session = Session(make_reader(tmp_path))
    monkeypatch.setattr(judging, "load", lambda run, **options: session)
    judge = config(run="runs/judge", pattern=r"(?P<score>\d)", range=[0, 9], max_tokens=4, retries=0)
    seen = []
    plain = session.engine.generate
    monkeypatch.setattr(session.engine, "generate", lambda requests: seen.append(requests) or plain(requests))
    found = judge.build().judge([reply("Two"), reply("Three")])
    assert len(seen) == 1 and len(seen[0]) == 2
    assert all(request.prompt.media["image"] and not request.sampling.draws for request in seen[0])
    assert all(one.value is not None or one.why.startswith("the judge's reply cannot be read") for one in found)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "needed exactly one of the two"),
        ({"url": "http://a", "run": "b"}, "needed exactly one of the two"),
        ({"url": "http://a"}, "needed the name of the model"),
        ({"run": "a", "prompt": "Rate it."}, "found a prompt without {reply}"),
        ({"run": "a", "prompt": "{reply} {"}, "needed {name}s that can be filled in"),
        ({"run": "a", "pattern": r"(\d)"}, "needed a group"),
        ({"run": "a", "pattern": "("}, "needed a regular expression"),
        ({"run": "a", "range": [5, 1]}, "needed the worst score, then the best"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, words):
    with pytest.raises(ValidationError, match=words):
        config(**settings)
