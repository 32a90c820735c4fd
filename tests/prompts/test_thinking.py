"""LLMs that think: their prompt opens the answer, and their chat template leaves old thoughts out.

The opening is context: nobody learns it, whether the answers of the data begin with it or not. What was thought is cut
from the turns before a prompt as the template cuts it, and is refused in an answer to learn.
"""

import itertools
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modalink import prompts
from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.errors import PromptError

DEEPSEEK_R1 = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '<｜User｜>' + m.content }}{% else %}"
    "{% set said = m.content.split('</think>')[-1] if '</think>' in m.content else m.content %}"
    "{{ '<｜Assistant｜>' + said + '<｜end▁of▁sentence｜>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<｜Assistant｜><think>\\n' }}{% endif %}"
)
"""In its form, without system messages and tools."""
WORDS = [
    "So.",
    "<think>\nSo.",
    "<think>\n",
    "<thi",
    "So. <think>\n",
    " A: B",
    "12",
    "Well:",
    "Well: 1",
    "[/a]",
    "@ ",
    "",
]
"""What is said: words, and what looks like openings, roles and stop strings."""


@dataclass(frozen=True)
class Form:
    """A chat template made of words.

    Args:
        head: Before an answer.
        forced: What a prompt adds to it.
        stop: Behind an answer.
        strips: Whether answers lose white space at their ends.
    """

    head: str
    forced: str
    stop: str
    strips: bool

    @property
    def template(self) -> prompts.ChatTemplate:
        """As an LLM brings it."""
        said = "m.content.split('</think>')[-1]" + (".strip()" if self.strips else "")
        return prompts.ChatTemplate(
            source="{% for m in messages %}{% if m.role == 'user' %}{{ '[Q]' + m.content + '\n' }}{% else %}"
            f"{{{{ {self.head!r} + {said} + {self.stop!r} }}}}{{% endif %}}{{% endfor %}}"
            f"{{% if add_generation_prompt %}}{{{{ {self.head + self.forced!r} }}}}{{% endif %}}",
            special_tokens={},
        )

    def answer(self, said: str) -> tuple[str, str]:
        """An answer as the template writes it: what is context, and what is to be learned."""
        said = said.strip() if self.strips else said
        opened = self.forced if said.startswith(self.forced) else ""
        return self.head + opened, said[len(opened) :] + (self.stop.rstrip() or self.stop)


FORMS = st.builds(
    Form,
    head=st.sampled_from(["<a>", "A: ", "\n[A]\n"]),
    forced=st.sampled_from(["", "<think>\n", "<think>", "Well: "]),
    stop=st.sampled_from(["</a>\n", "[/a]", "\n\n"]),
    strips=st.booleans(),
)
TALKS = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(WORDS), st.booleans()), min_size=1, max_size=9)


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(form=FORMS, rounds=TALKS)
def test_answers_are_learned_without_what_the_prompt_forces_on_them(place, form, rounds):
    expected, learned, turns = "", [], []
    for asked, said, loss in rounds:
        asked, said = asked.replace("@", "*"), said.replace("@", "*")
        context, label = form.answer(said)
        expected += f"[Q]{asked}\n{context}"
        learned += [(len(expected), len(expected) + len(label))] if loss else []
        expected += label + form.stop[len(form.stop.rstrip() or form.stop) :]
        turns += [Turn("user", (Text(asked),)), Turn("assistant", (Text(said),), loss)]
    page = form.template.render(Conversation(tuple(turns), "talk"), place)
    assert page.text == expected
    assert page.labelled == learned


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(form=FORMS, rounds=TALKS, thought=st.sampled_from(["Hm.\n</think>\n\n", "</think>", "a</think>b</think> "]))
def test_a_prompt_leaves_out_what_was_thought_and_ends_with_the_opening(place, form, rounds, thought):
    turns = [Turn("user", (Text("Q", loss=False),))]
    expected, kept = "[Q]Q\n", []
    for _, said, _ in rounds:
        turns += [Turn("assistant", (Text(thought + said),)), Turn("user", (Text("Q"),))]
        behind = thought.rpartition("</think>")[2] + said
        kept.append(behind.strip() if form.strips else behind)
        expected += f"{form.head}{kept[-1]}{form.stop}[Q]Q\n"
    page = form.template.render(Conversation(tuple(turns), "talk"), place, reply=True)
    assert page.text == expected + form.head + form.forced
    assert page.labelled == []
    assert [page.text[a:b] for a, b in page.written] == ["Q", *itertools.chain(*((said, "Q") for said in kept))]


@pytest.fixture
def r1(family):
    """DeepSeek-R1's template, as its tokenizer brings it, and the tokenizer."""
    tokenizer = family("untrimmed")
    tokenizer.chat_template = DEEPSEEK_R1
    yield prompts.get("llm", tokenizer), tokenizer
    tokenizer.chat_template = None


def test_deepseek_r1_answers_end_with_its_sign_and_labels_are_the_answer(r1, talk, place):
    template, tokenizer = r1
    assert template.stop[0] == "<｜end▁of▁sentence｜>"
    page = template.render(talk(("user", "@Why?"), ("assistant", "So.")), place)
    assert page.text == "<s><｜User｜><image>Why?<｜Assistant｜>So.<｜end▁of▁sentence｜>"
    assert [page.text[a:b] for a, b in page.labelled] == ["So.<｜end▁of▁sentence｜>"]
    said = talk(("user", "@Why?"), ("assistant", "Hm.\n</think>\n\nSo."), ("user", "Oh?"))
    page = template.render(said, place, reply=True)
    theirs = tokenizer.apply_chat_template(
        said.to_messages(), chat_template=template.jinja(), tokenize=False, add_generation_prompt=True
    )
    assert page.text == theirs and page.text.endswith(
        "<｜Assistant｜>\n\nSo.<｜end▁of▁sentence｜><｜User｜>Oh?<｜Assistant｜><think>\n"
    )


def test_thoughts_to_learn_and_media_among_thoughts_are_refused(r1, talk, place):
    template, _ = r1
    thoughtful = talk(("user", "Why?"), ("assistant", "Hm.</think>So."))
    with pytest.raises(PromptError, match=r"turn 1 has thoughts \(what stands before </think>\).*take them out"):
        template.render(thoughtful, place)
    only_read = Conversation(
        (thoughtful.turns[0], Turn("assistant", (Text("Hm.</think>So."),), loss=False)), "sample 7"
    )
    assert template.render(only_read, place).labelled == []
    drawn = (Text("Like"), Medium("image", "a.png"), Text("</think>So."))
    with pytest.raises(PromptError, match="changes what is said; choose another template"):
        template.render(
            Conversation((Turn("assistant", drawn), Turn("user", (Text("Oh?"),))), "sample 7"), place, reply=True
        )
