"""The tokeniser in Python against what the Java program gives."""

import pytest

from modalink.scoring.metrics import java
from modalink.scoring.metrics.captions import DROPPED, tokenize
from modalink.scoring.metrics.ptb import tokenize as tokens

# Written down from the program's output.
SEEN = {
    "A man is riding a horse.": "a man is riding a horse .",
    "dog's isn't can't they'll 90's": "dog 's is n't ca n't they 'll 90 's",
    "Cannot gonna 'tis o'clock y'all": "can not gon na 't is o'clock y' all",
    "a well-known 5-year-old T-shirt": "a well-known 5-year-old t-shirt",
    "$5.00 £5 50% 1,000 10:30am 1/2 2 1/2": "$ 5.00 # 5 50 % 1,000 10:30 am 1/2 2\xa01/2",
    "Mr. Smith of the U.S. at 5 p.m.": "mr. smith of the u.s. at 5 p.m.",
    "No. 5 said no.": "no. 5 said no .",
    "(one) [two] {three}": "-lrb- one -rrb- -lsb- two -rsb- -lcb- three -rcb-",
    "what?! yes!! no... -- - a/b http://a.b/c": "what ?! yes !! no ... -- - a/b http://a.b/c",
    "it’s “quoted” and ‘so’": "it 's `` quoted '' and ` so '",
    "A&B a&b C++ #tag @user": "a&b a & b c++ #tag @user",
    "naïve café über 你好 x²": "naïve café über 你好 x ²",
    "a smile 😀 gone": "a smile gone",
    "": "",
}


@pytest.mark.parametrize("text", SEEN)
def test_as_the_program(text: str) -> None:
    assert " ".join(tokens([text])[0]) == SEEN[text]


def test_the_next_caption_decides_what_a_period_is() -> None:
    assert tokens(["plan B.", "The cat"]) == [["plan", "b", "."], ["the", "cat"]]
    assert tokens(["plan B.", "the cat"]) == [["plan", "b."], ["the", "cat"]]


def test_line_breaks_inside_a_caption_keep_the_captions_apart() -> None:
    assert tokens(["one\ntwo\u2028three", "four"]) == [["one", "two", "three"], ["four"]]


def test_punctuation_goes_but_brackets_and_runs_stay() -> None:
    assert tokenize(["A (red) cat?! Yes... no, 'so'."], "python") == ["a -lrb- red -rrb- cat ?! yes no so"]


def test_the_program_agrees_where_it_can_run() -> None:
    captions = [*SEEN, "plan B.", "The cat", "two 😀 signs", "a | b * c ** d", "3.5-inch screen; 6'2\" tall"]
    if not java.missing(java.TOKENIZER):
        kept = [" ".join(token for token in line if token not in DROPPED) for line in java.tokenize(captions)]
        assert kept == tokenize(captions, "python")
