"""A chat template's work is bounded whenever it is rendered, whatever words set it off."""

import os
import signal
import threading
from functools import cache
from types import SimpleNamespace

import pytest

from modalink import zoo
from modalink.conversation import Conversation, Text, Turn
from modalink.errors import PromptError
from modalink.prompts import _rendering, rendering
from modalink.prompts.llm import ChatTemplate
from modalink.prompts.rendering import Rendering, rendered
from modalink.prompts.trial import refuse_endless

PLAIN = "{% for m in messages %}<{{ m.role }}>{{ m.content }}|{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
ODD = "{% if 'xyzzy' in messages[0].content %}WORK{% endif %}" + PLAIN
ENDLESS = {
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "one operation": "{{ (7 + messages|length) ** (10 ** 9) }}",
    "recursion": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "filters": "{{ range(99999)|map('string')|join(range(99999)|join(messages|length|string))|replace('1', '22')|urlize|length }}",
}
LARGE = {
    "doubling": "{% set n = namespace(s=messages[0].content) %}{% for a in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
    "nested lists": "{% set n = namespace(s=[1]) %}{% for a in range(60) %}{% set n.s = [n.s, n.s] %}{% endfor %}{{ n.s }}",
    "width of a number": "{{ '{:>{w}}'.format(1, w=10 ** 10 + messages|length) }}",
    "replacing": "{{ (messages[0].content * 9999).replace('z', messages[0].content * 9999) }}",
    "indent": "{{ messages|tojson(indent=10 ** 9) }}",
    "long": "{% for a in range(99999) %}{{ messages[0].content * 99 }}{% endfor %}",
}  # fmt: skip
STOPPED = r"talk: the LLM's chat template (did not end in|takes more than|makes [\d,]+ characters)"


def talk(*contents: str) -> Conversation:
    turns = (Turn("user" if i % 2 == 0 else "assistant", (Text(said),)) for i, said in enumerate(contents))
    return Conversation(tuple(turns), "talk")


def page(source: str, *contents: str) -> str:
    return ChatTemplate(source=source, special_tokens={}).render(talk(*contents), lambda turn, medium: "").text


@pytest.mark.parametrize("work", [*ENDLESS.values(), *LARGE.values()], ids=[*ENDLESS, *LARGE])
def test_words_that_set_off_endless_work_are_refused_and_others_are_not(work: str) -> None:
    source = ODD.replace("WORK", work)
    refuse_endless(source, {})  # its trial has other words
    assert page(source, "a", "b") == "<user>a|<assistant>b|"
    with pytest.raises(PromptError, match=STOPPED):
        page(source, "say xyzzy", "b")
    assert page(source, "a", "b") == "<user>a|<assistant>b|"


def test_a_long_conversation_may_take_and_make_more_than_a_short_one() -> None:
    contents = ["word " * 40_000] * 24  # 4.8 million characters
    assert len(page(PLAIN, *contents)) > 4 * rendering.CHARACTERS


def test_work_is_bounded_by_what_is_said_and_not_by_how_often_one_asks() -> None:
    assert {page(PLAIN, "a" * 1000, "b" * 1000) for _ in range(300)} == {f"<user>{'a' * 1000}|<assistant>{'b' * 1000}|"}


def test_templates_that_ship_need_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "_asked", None)
    for file in zoo.PARTS.rglob("chat_template.jinja"):
        (found,) = rendered(
            file.read_text(encoding="utf-8"), {}, [Rendering([{"role": "user", "content": "a"}], True, False)]
        )
        assert "a" in found["text"]


def test_a_process_that_somebody_ended_is_started_anew() -> None:
    assert page(PLAIN, "a", "b")
    process = rendering._process()
    os.killpg(process.pid, signal.SIGKILL)
    assert page(PLAIN, "a", "b") == "<user>a|<assistant>b|"
    assert rendering._process() is not process


def test_ctrl_c_at_the_terminal_is_for_this_process_alone() -> None:
    page(PLAIN, "a", "b")
    assert os.getsid(rendering._process().pid) != os.getsid(0)


def test_an_answer_that_nobody_waited_for_is_not_taken_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    page(PLAIN, "a", "b")
    process = rendering._process()

    def press() -> bytes:
        raise KeyboardInterrupt

    pressed = SimpleNamespace(
        stdin=process.stdin, stdout=SimpleNamespace(readline=press), communicate=process.communicate
    )
    with monkeypatch.context() as patch:
        patch.setattr(rendering, "_process", cache(lambda: pressed))
        with pytest.raises(KeyboardInterrupt):
            page(PLAIN, "late", "b")
    assert process.poll() is not None
    rendering._process.cache_clear()
    assert page(PLAIN, "a", "b") == "<user>a|<assistant>b|"


def test_threads_have_each_their_own_answer() -> None:
    found: dict[int, str] = {}

    def ask(number: int) -> None:
        found[number] = page(PLAIN, f"say {number}", "b")

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: f"<user>say {number}|<assistant>b|" for number in range(20)}


def test_in_the_process_and_out_of_it_a_template_says_the_same() -> None:
    for source in (
        PLAIN,
        "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}",
        "{{ 1/0 }}",
    ):
        renderings = [
            Rendering([{"role": "user", "content": said}], reply, "generation" in source)
            for said in ("a", "\ud800 é 🙂", "</s>")
            for reply in (False, True)
        ]
        task = {"source": source, "special_tokens": {}, "renderings": renderings}
        here = [answer | {"spans": [*map(list, answer.get("spans", []))]} for answer in _rendering.answers(task)]
        assert here == [answer | {"spans": answer.get("spans", [])} for answer in rendered(source, {}, renderings)]


def test_a_forked_process_asks_a_process_of_its_own() -> None:
    page(PLAIN, "a", "b")  # the parent has one
    asked = rendering._process().pid
    child = os.fork()
    if child == 0:
        right = page(PLAIN, "c", "d") == "<user>c|<assistant>d|" and rendering._process().pid != asked
        rendering._end()
        os._exit(0 if right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert page(PLAIN, "e", "f") == "<user>e|<assistant>f|" and rendering._process().pid == asked
