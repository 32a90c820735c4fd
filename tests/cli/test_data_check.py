"""`modalink data check` tells what is wrong with data, and exits with 1 where something is."""

import json

import pytest


@pytest.fixture
def chats(tmp_path):
    said = [
        [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "[b]"}],
        [{"role": "user", "content": "a?"}, {"role": "assistant", "content": ""}],
        [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "[b]"}],
    ]
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps({"messages": messages}) + "\n" for messages in said))
    return path


def test_a_table(modalink, chats):
    result = modalink("data", "check", chats)
    assert result.exit_code == 1
    assert "1 duplicate" in result.stdout and "1 empty_answer" in result.stdout
    assert "words of answers: least 0, median 1" in result.stdout
    assert "not checked: labels, which needs a recipe" in result.stdout
    assert "2 of 3 samples have faults" in result.stdout


def test_json_and_chosen_checks(modalink, chats, tmp_path):
    result = modalink("data", "check", chats, "--json", "--check", "sides", "--check", "{kind: lengths, most: 1}")
    found = json.loads(result.stdout)
    assert result.exit_code == 1 and found["counts"] == {"sides": {"empty_answer": 1}, "lengths": {"too_long": 2}}
    good = modalink("data", "check", chats, "--check", "leaks", "--html", tmp_path / "p.html")
    assert good.exit_code == 0 and "no faults were found" in good.stdout and f"page {tmp_path}" in good.stdout
    assert "0 of 3 samples have faults" in (tmp_path / "p.html").read_text()


def test_a_recipe_is_checked_with_its_labels(modalink, recipe):
    result = modalink("data", "check", recipe, "--without", "near_duplicates")
    assert result.exit_code == 0 and "share of tokens learned: 0." in result.stdout
    assert "tokens of samples" in result.stdout and "near_duplicates" not in result.stdout


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--check", "lenghts"], "unknown kind of data_quality.checks 'lenghts'; did you mean 'lengths'?"),
        (["--check", "{kind: lengths, most: 0}"], "most: found 0"),
        (["--without", "side"], "unknown check 'side'; did you mean 'sides'?"),
        (["--against", "nowhere"], "nowhere: looked for pictures"),
        (["--llm", "nowhere/none"], "nowhere/none"),
    ],
)
def test_what_cannot_be_is_said(modalink, chats, options, says):
    result = modalink("data", "check", chats, *options)
    assert result.exit_code in (1, 2) and says in result.stderr
