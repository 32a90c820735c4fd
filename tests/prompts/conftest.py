"""Tiny tokenizers of the families that LLMs use."""

import json

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from modalink.conversation import Conversation, Medium, Text, Turn

NAMED = ["<unk>", "<s>", "</s>"]
ADDED = ["<image>", "<audio>", "[IMG0]", "[IMG1]", "<|im_start|>", "<|im_end|>", "<|endofchunk|>"]
CORPUS = [
    "A chat between a curious user and a human's artificial intelligence assistant.",
    "The assistant gives helpful, detailed, and polite answers to the user's questions. You are helpful.",
    "USER: What is it? ASSISTANT: A red cube. Human: Assistant: ### [INST] <<SYS>>\n\n<</SYS>> [/INST]",
    "Hi. < > [ ] /INST > >\nsystem\nuser\nassistant\nQuestion: Answer: and this one is here\n, now. a final file fine",
]


def wrap(core: Tokenizer) -> PreTrainedTokenizerFast:
    core.add_special_tokens(NAMED)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    tokenizer.add_tokens(ADDED, special_tokens=True)
    return tokenizer


def with_bytes(core: Tokenizer, vocab: int) -> Tokenizer:
    """Train with a token for each byte, ordinary ones as in LLaMA."""
    fallback = [f"<0x{byte:02X}>" for byte in range(256)]
    core.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=vocab, special_tokens=NAMED + fallback))
    data = json.loads(core.to_str())
    data["added_tokens"] = [token for token in data["added_tokens"] if token["content"] in NAMED]
    return Tokenizer.from_str(json.dumps(data))


def word_level() -> PreTrainedTokenizerFast:
    """Words with the space before them; lower-cased and NFKC-normalised."""
    core = Tokenizer(models.WordLevel(unk_token="<unk>"))
    core.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r"\n| ?###| ?\w+| ?[^\s\w]"), "isolated")
    unspaced = [line.replace(" ", "\n") + " " for line in CORPUS]
    core.train_from_iterator(CORPUS + unspaced, trainers.WordLevelTrainer(special_tokens=NAMED))
    return wrap(core)


def byte_level(trim: bool = True) -> PreTrainedTokenizerFast:
    """GPT-2's family: bytes, spaces trimmed from the offsets."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.post_processor = processors.ByteLevel(trim_offsets=trim)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=NAMED
    )
    core.train_from_iterator(CORPUS, trainer)
    return wrap(core)


def untrimmed() -> PreTrainedTokenizerFast:
    """Qwen's family: bytes, spaces inside the offsets."""
    return byte_level(trim=False)


def metaspace() -> PreTrainedTokenizerFast:
    """Today's LLaMA family: the first word of a text gets a space, unknown characters become bytes."""
    core = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
    return wrap(with_bytes(core, 460))


def legacy() -> PreTrainedTokenizerFast:
    """The first LLaMA family: a normaliser prepends a space to each stretch of text, pieces may hold a space within."""
    core = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return wrap(with_bytes(core, 500))


def unigram() -> PreTrainedTokenizerFast:
    """T5's family: a unigram model over pieces with a space in front."""
    core = Tokenizer(models.Unigram())
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.train_from_iterator(CORPUS, trainers.UnigramTrainer(vocab_size=150, special_tokens=NAMED, unk_token="<unk>"))
    return wrap(core)


FAMILIES = {f.__name__: f for f in (word_level, byte_level, untrimmed, metaspace, legacy, unigram)}
_BUILT: dict[str, PreTrainedTokenizerFast] = {}


def _build(name: str) -> PreTrainedTokenizerFast:
    if name not in _BUILT:
        _BUILT[name] = FAMILIES[name]()
    return _BUILT[name]


@pytest.fixture(params=FAMILIES)
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    """Each family in turn."""
    return _build(request.param)


@pytest.fixture
def family():
    """A family by name."""
    return _build


@pytest.fixture
def place():
    """`<image>` for a given medium, two signal tokens for one that the assistant makes."""

    def stand_in(turn: Turn, medium: Medium) -> str:
        return "[IMG0][IMG1]" if turn.role == "assistant" else f"<{medium.modality}>"

    return stand_in


@pytest.fixture(scope="session")
def talk():
    """A conversation from `role=content` pairs; `@` stands for an image, `&` for a sound."""

    def build(*turns: tuple[str, str]) -> Conversation:
        return Conversation(tuple(Turn(role, _content(words)) for role, words in turns), "sample 7")

    def _content(words: str) -> tuple[Text | Medium, ...]:
        media = {"@": Medium("image", "a.png"), "&": Medium("audio", "a.wav")}
        pieces, text = [], ""
        for char in words:
            if char in media:
                pieces += [Text(text)] * bool(text) + [media[char]]
                text = ""
            else:
                text += char
        return (*pieces, *[Text(text)] * bool(text))

    return build
