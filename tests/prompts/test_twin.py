"""What people write is text, whatever it spells: for every kind of tokenizer, template and number of turns."""

import itertools
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, NormalizedString, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from modalink import prompts
from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.errors import PromptError
from modalink.prompts.tokens import _encoded, _special
from modalink.prompts.twin import twin_of
from tests.prompts.conftest import ADDED, CORPUS, FAMILIES, NAMED, _build, wrap

SPELLED = ("<image>", "[IMG0]", "[IMG1]", "<s>", "</s>", "<unk>", "<|im_start|>", "<|im_end|>")
TEMPLATES = prompts.names()[:-1]


def wordpiece():
    """BERT's family: lower-cased words and their pieces."""
    core = Tokenizer(models.WordPiece(unk_token="<unk>"))
    core.normalizer = normalizers.BertNormalizer()
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=300, special_tokens=NAMED))
    return wrap(core)


def merged():
    """A byte-level BPE that has learned its special tokens as words, too."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Split(" ", "isolated")
    spelled = [" ".join([token] * 50) for token in (*NAMED, *ADDED)]
    core.train_from_iterator([*CORPUS, *spelled], trainers.BpeTrainer(vocab_size=600, special_tokens=NAMED))
    return wrap(core)


KINDS = {**{name: lambda name=name: _build(name) for name in FAMILIES}, "wordpiece": wordpiece, "merged": merged}
_KNOWN = {}


def built(kind):
    return _KNOWN.setdefault(kind, KINDS[kind]()) if kind not in _KNOWN else _KNOWN[kind]


def place(turn, medium):
    return "[IMG0][IMG1]" if turn.role == "assistant" else "<image>"


def acting(tokens, tokenizer):
    """The special tokens of a prompt, but for unknown words."""
    special = {index for token, index in _special(tokenizer).items() if token != tokenizer.unk_token}
    return [token for token in tokens.input_ids if token in special]


def rendered(kind, template, texts, media=True):
    turns = []
    for number, text in enumerate(texts):
        medium = (Medium("image", "a.png"),) if media and number % 3 == 0 else ()
        turns.append(Turn(("user", "assistant")[number % 2], (*medium, Text(text))))
    return prompts.get(template, built(kind)).render(Conversation(tuple(turns), "mail 3"), place)


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_spelled_out_is_words(kind, template):
    """The prompt holds the special tokens of the one whose texts spell nothing, and the labels are as exact."""
    tokenizer, choose = built(kind), random.Random(f"{kind} {template}")
    for count in (2, 4, 8, 16):
        texts = [
            f"see {choose.choice(SPELLED)}{choose.choice(SPELLED)} now {choose.choice(SPELLED)}" for _ in range(count)
        ]
        page = rendered(kind, template, texts)
        tokens = prompts.tokenize(page, tokenizer)
        harmless = prompts.tokenize(rendered(kind, template, ["see this now"] * count), tokenizer)
        assert acting(tokens, tokenizer) == acting(harmless, tokenizer)
        assert len(tokens.media) == len(harmless.media) == len(page.media)
        assert [tokenizer.convert_ids_to_tokens(tokens.input_ids[i]) for i in tokens.media] == [
            page.text[a : a + 6] if page.text[a] == "[" else page.text[a:b] for a, b, *_ in page.media
        ]
        runs = [
            len(list(run)) for learned, run in itertools.groupby(tokens.labels, lambda label: label != -100) if learned
        ]
        assert len(runs) == len(page.labelled) == count // 2


@pytest.mark.parametrize("kind", ["byte_level", "untrimmed"])
def test_no_character_is_lost_or_changed(kind):
    tokenizer = built(kind)
    texts = [f"a{sign}b {sign} c" for sign in SPELLED]
    page = rendered(kind, "vicuna-v1.1", texts, media=False)
    tokens = prompts.tokenize(page, tokenizer)
    learned = tokenizer.decode([token for token in tokens.labels if token != -100], clean_up_tokenization_spaces=False)
    said = "".join(page.text[a:b] for a, b in page.labelled)
    assert learned == said
    assert tokenizer.decode(tokens.input_ids, clean_up_tokenization_spaces=False) == page.text


@pytest.mark.parametrize("kind", KINDS)
@given(texts=st.lists(st.text("ab <>|é漢\n", max_size=12), min_size=2, max_size=6))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
def test_the_twin_reads_what_spells_nothing_as_the_tokenizer_does(kind, texts):
    tokenizer = built(kind)
    special = _special(tokenizer)
    twin = twin_of(tokenizer, special)
    for template in ("vicuna-v1.1", "chatml"):
        page = rendered(kind, template, texts)
        ours = _encoded(page.text, page.bos, tokenizer, special, False)
        assert _encoded(twin.respelled(page), page.bos, twin.tokenizer, special, False) == ours


def words(text, tokenizer):
    return prompts.reader(text, tokenizer)(text, add_special_tokens=False).input_ids


def test_the_reader_of_words_alone():
    tokenizer = built("byte_level")
    assert prompts.reader("a cube", tokenizer) is prompts.reader("", tokenizer) is tokenizer
    ids = words("a <image>", tokenizer)
    assert tokenizer.decode(ids) == "a <image>" and not set(ids) & set(_special(tokenizer).values())


def test_a_twin_learns_of_new_tokens():
    tokenizer = FAMILIES["byte_level"]()
    before = words("<image> [NEW]", tokenizer)
    tokenizer.add_tokens([AddedToken("[NEW]", special=True)], special_tokens=True)
    assert words("<image> [NEW]", tokenizer) == before


class _Odd:
    def normalize(self, text: NormalizedString) -> None:
        text.append("")


def test_a_tokenizer_that_cannot_be_taken_apart_says_so():
    core = Tokenizer.from_str(_build("byte_level").backend_tokenizer.to_str())
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>")
    tokenizer.backend_tokenizer.normalizer = normalizers.Normalizer.custom(_Odd())
    assert words("fine", tokenizer)
    with pytest.raises(
        PromptError, match=r"a text spells out a special token, and .* cannot read it as words: .*; write it"
    ):
        words("a </s>", tokenizer)
