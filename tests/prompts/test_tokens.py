"""Labels and media come from the offsets of one tokenisation, whatever the tokenizer does to the text."""

from dataclasses import replace

import pytest
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

from modalink import prompts
from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.errors import PromptError
from modalink.prompts import Rendered


def learned(tokenizer, tokens):
    names = tokenizer.convert_ids_to_tokens(tokens.input_ids)
    return [name for name, label in zip(names, tokens.labels, strict=True) if label != -100]


def test_every_character_of_an_answer_is_learned_and_nothing_else(tokenizer, talk, place):
    conversation = talk(("user", "What is @ this ?"), ("assistant", "A red cube , é and 漢字 ."), ("user", "Human : a"))
    template = prompts.get("vicuna-v1.1", tokenizer)
    rendered = template.render(conversation, place)
    tokens = prompts.tokenize(rendered, tokenizer)
    names = learned(tokenizer, tokens)
    assert names[-1] == "</s>" and names.count("</s>") == 1
    assert len(tokens.labels) == len(tokens.input_ids)
    whole = tokenizer(rendered.text[3:], add_special_tokens=False)["input_ids"]
    assert tokens.input_ids == [tokenizer.bos_token_id, *whole]
    # The labelled tokens are one run, the one that the answer alone would fill.
    places = [i for i, label in enumerate(tokens.labels) if label != -100]
    assert places == list(range(places[0], places[-1] + 1))
    offsets = tokenizer(rendered.text[3:], add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    ((start, end),) = rendered.labelled
    assert offsets[places[0] - 1][0] + 3 <= start + 1 and offsets[places[-1] - 1][1] + 3 == end
    assert offsets[places[0] - 2][1] + 3 <= start


def test_a_turn_without_loss_stands_in_the_text_and_none_of_its_tokens_is_learned(tokenizer, talk, place):
    rounds = talk(("user", "What ?"), ("assistant", "A cube"), ("user", "@ And this ?"), ("assistant", "A final file"))
    template = prompts.get("vicuna-v1.1", tokenizer)
    both = prompts.tokenize(template.render(rounds, place), tokenizer)
    turns = (rounds.turns[0], replace(rounds.turns[1], loss=False), *rounds.turns[2:])
    last = prompts.tokenize(template.render(Conversation(turns), place), tokenizer)
    assert last.input_ids == both.input_ids
    stop = both.labels.index(tokenizer.eos_token_id)
    assert last.labels == [-100] * (stop + 1) + both.labels[stop + 1 :]
    assert learned(tokenizer, last).count("</s>") == 1


def test_words_that_are_only_read_stand_in_an_answer_and_none_of_its_other_tokens_is_lost(tokenizer, talk, place):
    read, learned = "A red cube and this one is here", " now, a final file, and this one is here"
    template, asked = prompts.get("vicuna-v1.1", tokenizer), talk(("user", "What ?")).turns

    def rendered(*pieces):
        return template.render(Conversation((*asked, Turn("assistant", pieces))), place)

    whole = prompts.tokenize(rendered(Text(read + learned)), tokenizer)
    cut = rendered(Text(read, loss=False), Text(learned))
    assert [cut.text[start:end] for start, end in cut.learned] == [f"{learned}</s>"]
    some = prompts.tokenize(cut, tokenizer)
    assert some.input_ids == whole.input_ids
    pairs = [(own, label) for own, label in zip(some.labels, whole.labels, strict=True) if label != -100]
    ahead = next(number for number, (own, _) in enumerate(pairs) if own != -100)
    assert ahead > 0 and all(own == label for own, label in pairs[ahead:])
    between = rendered(Text(learned), Text(read, loss=False), Text(learned))
    assert [between.text[start:end] for start, end in between.learned] == [f" {learned}", f"{learned}</s>"]
    steps = rendered(Text(read, loss=False), Text("\n\n"), Text(read, loss=False), Text("\n\n"))
    assert [steps.text[start:end] for start, end in steps.learned] == ["\n\n", "\n\n</s>"]


def test_a_token_that_straddles_the_border_is_learned(family):
    legacy = family("legacy")
    rendered = Rendered("ASSISTANT: A red cube. Human: now", "s", labelled=[(10, 22)])
    offsets = legacy(rendered.text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    pieces = [rendered.text[a:b] for a, b in offsets]
    assert pieces[3:8] == ["AN", "T: A", " red ", "cube. Human", ": "]
    labels = prompts.tokenize(rendered, legacy).labels
    learned = [piece for piece, label in zip(pieces, labels, strict=True) if label != -100]
    assert learned == ["T: A", " red ", "cube. Human"]


def test_a_character_of_several_bytes_is_learned_whole_or_not_at_all(family):
    for name in ("metaspace", "byte_level", "legacy"):
        tokenizer = family(name)
        rendered = Rendered("漢漢", "s", labelled=[(1, 2)])
        tokens = prompts.tokenize(rendered, tokenizer)
        assert len(learned(tokenizer, tokens)) == 3
        assert tokens.labels[-3:] == tokens.input_ids[-3:] and set(tokens.labels[:-3]) == {-100}


def test_offsets_count_the_characters_of_the_original_text(family):
    tokenizer = family("word_level")
    # NFKC makes two letters of the ligature and one of the wide A; lower-casing lengthens the dotted I.
    rendered = Rendered("ﬁle Ａ İ final file", "s", labelled=[(13, 18)])
    assert rendered.text[13:18] == " file"
    assert learned(tokenizer, prompts.tokenize(rendered, tokenizer)) == [" file"]


def test_a_space_trimmed_from_the_offsets_belongs_to_its_span(family):
    tokenizer = family("byte_level")
    rendered = Rendered("T: <image>", "s", labelled=[(2, 10)])
    tokens = prompts.tokenize(rendered, tokenizer)
    assert learned(tokenizer, tokens) == ["Ġ", "<image>"]
    before = Rendered("T: <image>", "s", labelled=[(3, 10)])
    assert learned(tokenizer, prompts.tokenize(before, tokenizer)) == ["<image>"]


def test_the_first_word_after_the_opening_token_is_tokenised_as_the_first_of_a_text(family, talk, place):
    tokenizer = family("metaspace")
    template = prompts.get("vicuna-v1.1", tokenizer)
    tokens = prompts.tokenize(template.render(talk(("user", "What?")), place, reply=True), tokenizer)
    names = tokenizer.convert_ids_to_tokens(tokens.input_ids)
    assert names[0] == "<s>" and names[1].startswith("▁A") and names.count("<s>") == 1


def test_an_unknown_word_is_no_special_token(family, talk, place):
    tokenizer = family("word_level")
    rendered = prompts.get("vicuna-v1.1", tokenizer).render(talk(("user", "zebra"), ("assistant", "gnu")), place)
    assert learned(tokenizer, prompts.tokenize(rendered, tokenizer)) == ["<unk>", "</s>"]


@pytest.mark.parametrize("role", ["system", "user", "assistant"])
@pytest.mark.parametrize("sign", ["<image>", "[IMG0]", "</s>", "<s>", "<|im_end|>", "<unk>"])
def test_text_cannot_act(sign, role, tokenizer, place):
    said = {"system": "Be kind.", "user": "What?", "assistant": "A cube."}
    said[role] = f"see{sign}this"
    medium = Medium("image", "a.png")
    turns = tuple(Turn(r, (Text(words), medium) if r == "user" else (Text(words),)) for r, words in said.items())
    template = prompts.get("vicuna-v1.1", tokenizer)
    tokens = prompts.tokenize(template.render(Conversation(turns, "mail 3"), place), tokenizer)
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special and token.content != "<unk>"}
    acting = tokenizer.convert_ids_to_tokens([token for token in tokens.input_ids if token in special])
    assert acting == ["<s>", "<image>", "</s>"]


@pytest.mark.parametrize("harmless", ["< image>", "<images>", "###", "<b>", "[IMG]", "<Image>", "|im_end|", "< / s >"])
def test_text_that_only_resembles_a_special_token_passes(harmless, tokenizer, talk, place):
    template = prompts.get("vicuna-v1.1", tokenizer)
    rendered = template.render(talk(("user", f"{harmless} @ {harmless}"), ("assistant", harmless)), place)
    tokens = prompts.tokenize(rendered, tokenizer)
    assert [tokenizer.convert_ids_to_tokens(tokens.input_ids[i]) for i in tokens.media] == ["<image>"]


def test_what_the_tokenizer_lacks_is_named(family, talk, place):
    tokenizer = family("byte_level").__class__(tokenizer_object=family("byte_level").backend_tokenizer)
    tokenizer.add_special_tokens({"eos_token": "<|im_end|>"})
    asked = talk(("user", "@What?"))
    with pytest.raises(PromptError, match=r"sample 7: '<video>' stands for a medium of modality 'image' and is not"):
        rendered = prompts.get("vicuna-v1.1", tokenizer).render(asked, lambda turn, medium: "<video>", reply=True)
        prompts.tokenize(rendered, tokenizer)
    with pytest.raises(PromptError, match=r"sample 7: '\[IMG0\]\[IMG2\]' stands for a medium"):
        rendered = prompts.get("vicuna-v1.1", tokenizer).render(asked, lambda turn, medium: "[IMG0][IMG2]", reply=True)
        prompts.tokenize(rendered, tokenizer)
    foreign = prompts.get("vicuna-v1.1").replace(eos="<|endoftext|>").render(asked, place, reply=True)
    with pytest.raises(PromptError, match=r"sample 7: the template writes '<\|endoftext\|>', which is no special"):
        prompts.tokenize(foreign, tokenizer)


def test_spaces_beside_a_special_token_that_swallows_them_are_no_injection(family, talk, place):
    core = family("legacy").backend_tokenizer
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>")
    tokenizer.add_tokens([AddedToken("<clip>", lstrip=True, special=True)], special_tokens=True)
    template = prompts.get("vicuna-v1.1", tokenizer)
    rendered = template.render(talk(("user", "Look: @ now")), lambda turn, medium: "<clip>", reply=True)
    tokens = prompts.tokenize(rendered, tokenizer)
    assert [tokenizer.convert_ids_to_tokens(tokens.input_ids[i]) for i in tokens.media] == ["<clip>"]
