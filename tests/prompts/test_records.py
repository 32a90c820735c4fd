"""The strings and tokens of each published template, written by hand."""

import pytest

from modalink import prompts
from modalink.errors import PromptError, UnknownNameError

CURIOUS = (
    "A chat between a curious {who} and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the {who}'s questions."
)

# One answered question about an image, then a second round; the system message is the template's own.
STRINGS = {
    "plain": "<s><image>A cube.\nDraw it.[IMG0][IMG1]Here.\n",  # wording goes only where media stand for it
    "vicuna-v0": "<s>" + CURIOUS.format(who="human") + "###Human: <image>\nWhat?###Assistant: A cube.###Human: "
    "Draw it.###Assistant: [IMG0][IMG1]Here.###",
    "alpaca": "<s>Below is an instruction that describes a task. Write a response that appropriately completes the "
    "request.\n\n### Instruction:\n<image>\nWhat?\n\n### Response:A cube.</s>\n\n### Instruction:\nDraw it.\n\n"
    "### Response:[IMG0][IMG1]Here.</s>\n\n",
    "vicuna-v1.1": "<s>" + CURIOUS.format(who="user") + " USER: <image>\nWhat? ASSISTANT: A cube.</s>USER: Draw it. "
    "ASSISTANT: [IMG0][IMG1]Here.</s>",
    "llama-2": "<s>[INST] <image>\nWhat? [/INST] A cube. </s><s>[INST] Draw it. [/INST] [IMG0][IMG1]Here. </s>",
    "chatml": "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<image>\nWhat?<|im_end|>\n"
    "<|im_start|>assistant\nA cube.<|im_end|>\n<|im_start|>user\nDraw it.<|im_end|>\n<|im_start|>assistant\n"
    "[IMG0][IMG1]Here.<|im_end|>\n",
    "question-answer": "<s><image>Question: What? Answer: A cube.</s>\nQuestion: Draw it. "
    "Answer: [IMG0][IMG1]Here.</s>\n",
    "question-short-answer": "<s><image>Question: What? Short answer: A cube.</s>\nQuestion: Draw it. "
    "Short answer: [IMG0][IMG1]Here.</s>\n",
    "minigpt-v2": "<s>[INST] <image> What? [/INST] A cube.</s>[INST] Draw it. [/INST] [IMG0][IMG1]Here.</s>",
    "x-instructblip": "<s>USER: <image> What?\nASSISTANT: A cube.</s>USER: Draw it.\nASSISTANT: [IMG0][IMG1]Here.</s>",
    "mplug-owl": "<s>The following is a conversation between a curious human and AI assistant. The assistant gives "
    "helpful, detailed, and polite answers to the user's questions.\nHuman: <image>\nHuman: What?\nAI: A cube.</s>\n"
    "Human: Draw it.\nAI: [IMG0][IMG1]Here.</s>\n",
    "pandagpt": "<s>### Human: <image> What?\n### Assistant: A cube.\n###Human: Draw it.\n### Assistant: "
    "[IMG0][IMG1]Here.\n###",
    "idefics": "<s>User:<image>What?\nAssistant: A cube.\nUser:Draw it.\nAssistant: [IMG0][IMG1]Here.\nUser:",
    "open-flamingo": "<s><image>Question:What? Short answer:A cube.<|endofchunk|>Question:Draw it. "
    "Short answer:[IMG0][IMG1]Here.<|endofchunk|>",
    "chatglm": "<s>问：<image>What?\n答：A cube.</s>\n问：Draw it.\n答：[IMG0][IMG1]Here.</s>\n",
    "instruction": "<s><image>What? A cube.</s>\nDraw it. [IMG0][IMG1]Here.</s>\n",
}

LEARNED = {
    "plain": ["A cube.\n", "[IMG0][IMG1]Here.\n"],
    "vicuna-v0": [" A cube.###", " [IMG0][IMG1]Here.###"],
    "alpaca": ["A cube.</s>", "[IMG0][IMG1]Here.</s>"],
    "vicuna-v1.1": [" A cube.</s>", " [IMG0][IMG1]Here.</s>"],
    "llama-2": [" A cube. </s>", " [IMG0][IMG1]Here. </s>"],
    "chatml": ["A cube.<|im_end|>", "[IMG0][IMG1]Here.<|im_end|>"],
    "question-answer": [" A cube.</s>", " [IMG0][IMG1]Here.</s>"],
    "question-short-answer": [" A cube.</s>", " [IMG0][IMG1]Here.</s>"],
    "minigpt-v2": [" A cube.</s>", " [IMG0][IMG1]Here.</s>"],
    "x-instructblip": [" A cube.</s>", " [IMG0][IMG1]Here.</s>"],
    "mplug-owl": [" A cube.</s>", " [IMG0][IMG1]Here.</s>"],
    "pandagpt": [" A cube.\n###", " [IMG0][IMG1]Here.\n###"],
    "idefics": [" A cube.\nUser:", " [IMG0][IMG1]Here.\nUser:"],
    "open-flamingo": ["A cube.<|endofchunk|>", "[IMG0][IMG1]Here.<|endofchunk|>"],
    "chatglm": ["A cube.</s>", "[IMG0][IMG1]Here.</s>"],
    "instruction": [" A cube.</s>", " [IMG0][IMG1]Here.</s>"],
}

STOP = {
    "plain": ("\n",),
    "vicuna-v0": ("###",),
    "alpaca": ("</s>",),
    "vicuna-v1.1": ("</s>",),
    "llama-2": ("</s>",),
    "chatml": ("<|im_end|>",),
    "question-answer": ("</s>",),
    "question-short-answer": ("</s>",),
    "minigpt-v2": ("</s>",),
    "x-instructblip": ("</s>",),
    "mplug-owl": ("</s>",),
    "pandagpt": ("###",),
    "idefics": ("\nUser:",),
    "open-flamingo": ("<|endofchunk|>",),
    "chatglm": ("</s>",),
    "instruction": ("</s>",),
}

# `system` is "Hi."; tokens that carry loss are starred, `~` is a space. The tokenizer lower-cases.
TOKENS = {
    "plain": "<s> <image> *a *~red *~cube *. *\n",
    "vicuna-v0": "<s> hi . ### human : ~ <image> \n what ? ### assistant : *~a *~red *~cube *. *###",
    "alpaca": "<s> hi . \n \n ### <unk> : \n <image> \n what ? \n \n ### <unk> : *a *~red *~cube *. *</s> \n \n",
    "vicuna-v1.1": "<s> hi . ~user : ~ <image> \n what ? ~assistant : *~a *~red *~cube *. *</s>",
    "llama-2": "<s> [ inst ] ~< < sys > > \n hi . \n < < / sys > > \n \n <image> \n what ? ~[ / inst ] *~a *~red "
    "*~cube *. *~ *</s>",
    "chatml": "<|im_start|> system \n hi . <|im_end|> \n <|im_start|> user \n <image> \n what ? <|im_end|> \n "
    "<|im_start|> assistant \n *a *~red *~cube *. *<|im_end|> \n",
    "question-answer": "<s> hi . \n <image> question : ~what ? ~answer : *~a *~red *~cube *. *</s> \n",
    "question-short-answer": "<s> hi . \n <image> question : ~what ? <unk> ~answer : *~a *~red *~cube *. *</s> \n",
    "minigpt-v2": "<s> [ inst ] ~ <image> ~what ? ~[ / inst ] *~a *~red *~cube *. *</s>",
    "x-instructblip": "<s> hi . ~user : ~ <image> ~what ? \n assistant : *~a *~red *~cube *. *</s>",
    "mplug-owl": "<s> hi . \n human : ~ <image> \n human : ~what ? \n <unk> : *~a *~red *~cube *. *</s> \n",
    "pandagpt": "<s> ### ~human : ~ <image> ~what ? \n ### ~assistant : *~a *~red *~cube *. *\n *###",
    "idefics": "<s> hi . \n user : <image> what ? \n assistant : *~a *~red *~cube *. *\n *user *:",
    "open-flamingo": "hi . \n <image> question : what ? <unk> ~answer : *a *~red *~cube *. *<|endofchunk|>",
    "chatglm": "<s> hi . \n <unk> : <image> what ? \n <unk> : *a *~red *~cube *. *</s> \n",
    "instruction": "<s> hi . ~ <image> what ? *~a *~red *~cube *. *</s> \n",
}


@pytest.fixture
def rounds(talk):
    return talk(("user", "@What?"), ("assistant", "A cube."), ("user", "Draw it."), ("assistant", "@Here."))


def test_every_record_is_tested():
    assert set(prompts.names()) == {*STRINGS, "llm"} == {*TOKENS, "llm"}


@pytest.mark.parametrize("name", STRINGS)
def test_string_is_that_of_the_field(name, rounds, place):
    rendered = prompts.get(name).render(rounds, place)
    assert rendered.text == STRINGS[name]
    assert [rendered.text[a:b] for a, b in rendered.labelled] == LEARNED[name]
    assert [rendered.text[a:b] for a, b, _, _ in rendered.media] == ["<image>", "[IMG0][IMG1]"]
    assert [turn.role for _, _, _, turn in rendered.media] == ["user", "assistant"]
    assert prompts.get(name).stop == STOP[name]


@pytest.mark.parametrize("name", TOKENS)
def test_tokens_and_labels_are_those_written_by_hand(name, talk, place, family):
    tokenizer = family("word_level")
    conversation = talk(("system", "Hi."), ("user", "@What?"), ("assistant", "A red cube."))
    tokens = prompts.tokenize(prompts.get(name, tokenizer).render(conversation, place), tokenizer)
    expected = [token.replace("~", " ") for token in TOKENS[name].split(" ")]
    names = tokenizer.convert_ids_to_tokens(tokens.input_ids)
    assert [f"*{n}" if label != -100 else n for n, label in zip(names, tokens.labels, strict=True)] == expected
    assert all(label in (-100, token) for token, label in zip(tokens.input_ids, tokens.labels, strict=True))
    assert [names[index] for index in tokens.media] == ["<image>"]


@pytest.mark.parametrize("name", STRINGS)
def test_prompt_for_a_reply_ends_where_the_loss_would_begin(name, rounds, place):
    template = prompts.get(name)
    whole = template.render(rounds, place)
    asked = template.render(type(rounds)(rounds.turns[:3], "sample 7"), place, reply=True)
    assert asked.text == whole.text[: whole.labelled[1][0]]
    assert asked.labelled == []


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("vicuna-v0", "<s>Be brief.###Human: Hi###"),
        ("vicuna-v1.1", "<s>Be brief. USER: Hi "),
        ("llama-2", "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST]"),
        ("chatml", "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>"),
        ("question-answer", "<s>Be brief.\nQuestion: Hi "),
        ("plain", "<s>Hi"),
    ],
)
def test_system_message_comes_from_the_conversation_else_the_call_else_the_template(name, begins, talk, place):
    template, said = prompts.get(name), (("user", "Hi"), ("assistant", "Ho"))
    own = template.render(talk(("system", "Be brief."), *said), place, system="Be long.")
    given = template.render(talk(*said), place, system="Be brief.")
    stored = template.replace(system="Be brief.").render(talk(*said), place)
    assert own.text.startswith(begins)
    assert own.text == given.text == stored.text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("vicuna-v0", "<s>###Human: Hi###Assistant: Ho###"),  # the form of MiniGPT-4
        ("vicuna-v1.1", "<s>USER: Hi ASSISTANT: Ho</s>"),
        ("chatml", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHo<|im_end|>\n"),
    ],
)
def test_empty_system_message_means_none(name, text, talk, place):
    conversation = talk(("user", "Hi"), ("assistant", "Ho"))
    assert prompts.get(name).render(conversation, place, system="").text == text


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("@What?", "USER: <image>\nWhat? "),
        ("@\nWhat?", "USER: <image>\nWhat? "),
        ("What?\n@", "USER: What?\n<image> "),
        ("@@What?", "USER: <image><image>\nWhat? "),
        ("@What of &this and @?", "USER: <image>\nWhat of <audio>this and <image>? "),
        ("@", "USER: <image> "),
        ("", "USER:  "),
    ],
)
def test_media_stand_anywhere_in_a_turn(said, written, talk, place, tokenizer):
    template = prompts.get("vicuna-v1.1", tokenizer)
    rendered = template.render(talk(("user", said), ("assistant", "Ho")), place, system="")
    assert rendered.text == f"<s>{written}ASSISTANT: Ho</s>"
    tokens = prompts.tokenize(rendered, tokenizer)
    names = tokenizer.convert_ids_to_tokens(tokens.input_ids)
    media = {"@": "<image>", "&": "<audio>"}
    assert [names[index] for index in tokens.media] == [media[char] for char in said if char in media]


def test_media_of_all_turns_keep_their_order_and_place(talk, place, tokenizer):
    conversation = talk(("user", "Two: @ and @"), ("assistant", "@ and then @."), ("user", "&"), ("assistant", "End @"))
    tokens = prompts.tokenize(prompts.get("vicuna-v1.1", tokenizer).render(conversation, place), tokenizer)
    names = tokenizer.convert_ids_to_tokens(tokens.input_ids)
    assert [names[i] for i in tokens.media] == ["<image>", "<image>", "[IMG0]", "[IMG0]", "<audio>", "[IMG0]"]
    assert tokens.media == [i for i, name in enumerate(names) if name in ("<image>", "<audio>", "[IMG0]")]
    assert [tokens.labels[i] != -100 for i in tokens.media] == [False, False, True, True, False, True]
    assert all(names[i + 1] == "[IMG1]" for i in tokens.media if names[i] == "[IMG0]")


def test_assistant_may_speak_first_and_alone(talk, place):
    text = talk(("assistant", "Once @ upon a time."))
    assert prompts.get("plain").render(text, place).text == "<s>Once [IMG0][IMG1] upon a time.\n"
    rendered = prompts.get("vicuna-v1.1").render(text, place, system="")
    assert rendered.text == "<s>ASSISTANT: Once [IMG0][IMG1] upon a time.</s>"


def test_tokens_of_the_tokenizer_replace_the_templates(family):
    tokenizer = family("byte_level").__class__(tokenizer_object=family("byte_level").backend_tokenizer)
    tokenizer.add_special_tokens({"eos_token": "<|im_end|>"})
    template = prompts.get("vicuna-v1.1", tokenizer)
    assert (template.bos, template.eos, template.stop) == ("", "<|im_end|>", ("<|im_end|>",))


def test_what_does_not_fit_is_refused_with_its_name(talk, place, family):
    with pytest.raises(UnknownNameError, match=r"unknown prompt template 'vicuna'; did you mean 'vicuna-v"):
        prompts.get("vicuna")
    with pytest.raises(PromptError, match=r"sample 7: turn 1 is a system turn"):
        prompts.get("chatml").render(talk(("user", "a"), ("system", "b")), place)
    with pytest.raises(PromptError, match=r"sample 7: found no turn of a user"):
        prompts.get("chatml").render(talk(("system", "b")), place)
    with pytest.raises(PromptError, match=r"sample 7, turn 1 .* role 'user'; template 'llama-2' needs 'assistant'"):
        prompts.get("llama-2").render(talk(("user", "a"), ("user", "b")), place)
    with pytest.raises(PromptError, match=r"sample 7: a reply needs the user to speak last"):
        prompts.get("chatml").render(talk(("user", "a"), ("assistant", "b")), place, reply=True)
    endless = family("byte_level").__class__(tokenizer_object=family("byte_level").backend_tokenizer)
    with pytest.raises(PromptError, match=r"'llama-2' needs an end token and the tokenizer has none"):
        prompts.get("llama-2", endless)


@pytest.mark.parametrize("name", STRINGS)
def test_a_template_is_plain_data(name):
    template = prompts.get(name)
    assert prompts.Template.from_dict(template.to_dict()) == template
    with pytest.raises(UnknownNameError, match="unknown kind of prompt template 'turn'; did you mean 'turns'"):
        prompts.Template.from_dict({**template.to_dict(), "kind": "turn"})
