"""A chat template is a program of somebody else's: it is stopped in its own process, and its errors are prompt errors."""

import pytest

from modalink.conversation import Conversation, Text, Turn
from modalink.errors import PromptError
from modalink.prompts.llm import ChatTemplate
from modalink.prompts.trial import refuse_endless

ENDLESS = {
    "loops in loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "late": "{% if messages|length > 3 %}{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}{% endif %}",
}
LARGE = {
    "doubling": "{% set ns = namespace(s='x') %}{% for a in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "lists": "{% set ns = namespace(s=[1]) %}{% for a in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "times": "{{ 'x' * 10**10 }}",
    "percent": "{{ '%1000000000d' % 1 }}",
    "format": "{{ '{:1000000000}'.format(1) }}",
    "center": "{{ 'x'.center(10**10) }}",
    "join": "{{ (range(99999)|list * 9999)|join('xxxxxxxx') }}",
    "long": "{% for a in range(99999) %}{{ 'x' * 99 }}{% endfor %}",
    "source": "x" * 2_000_000,
}  # fmt: skip
FAILING = [
    "{{ 1 / 0 }}", "{{ [1] + 1 }}", "{{ 'a' + 1 }}", "{% include '/etc/passwd' %}", "{% extends 'x' %}", "{% import 'x' as y %}",
    "{{ missing.of.nothing }}", "{{ messages[99]['role'] }}", "{{ ''.__class__.__mro__ }}", "{% for %}", "{{ raise_exception('no') }}",
    "{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(1) }}", "{{ messages.append(1) }}", "{{ {}|dictsort(by='x') }}", "{{ 'x'|nofilter }}",
    "{{ namespace(_x=1) }}", "{{ '%d' % 'x' }}", "{{ range(10**9) }}", "{{ strftime_now(3) }}", "{% generation %}",
]  # fmt: skip


@pytest.mark.parametrize("source", ENDLESS.values(), ids=ENDLESS.keys())
def test_what_does_not_end_is_stopped(source: str) -> None:
    with pytest.raises(PromptError, match="the LLM's chat template did not end in 1 s of computing"):
        refuse_endless(source, {})


@pytest.mark.parametrize("source", LARGE.values(), ids=LARGE.keys())
def test_what_takes_all_memory_is_stopped(source: str) -> None:
    with pytest.raises(PromptError, match=r"takes more than 256 MiB|makes [\d,]+ characters|has 2,000,000 characters"):
        refuse_endless(source, {})


@pytest.mark.parametrize("source", FAILING)
def test_any_error_of_a_template_is_a_prompt_error(source: str) -> None:
    refuse_endless(source, {})  # it ends, and another conversation may fit
    template = ChatTemplate(source=source, special_tokens={})
    talk = Conversation((Turn("user", (Text("1"),)), Turn("assistant", (Text("2"),))), "talk")
    with pytest.raises(PromptError, match=r"^talk: "):
        template.render(talk, lambda turn, medium: "")
