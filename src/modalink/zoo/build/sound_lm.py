"""Trains the tiny MusicGen: a codebook of partials, and a decoder that says codes of sounds after captions.

A network that makes samples, EnCodec or HiFi-GAN, has to invent phases, and needs far more sounds and steps than are
spent here. Transformers that restore whole spectrograms from noise, or say codes of their frames, learn which timbres,
pitches and motions come together in training; codes of loudness, pitch and shape come together anew.
"""

import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.cluster.vq import kmeans2
from torch import Tensor, nn
from transformers import CLIPTokenizer, MusicgenForCausalLM, MusicgenForConditionalGeneration
from transformers import MusicgenConfig as Architecture
from transformers.models.musicgen.configuration_musicgen import MusicgenDecoderConfig

from modalink.generators._sine_codes import SineCodes, SineCodesConfig
from modalink.generators.musicgen import TOKENS, Musicgen, MusicgenConfig
from modalink.roles import Conditions, ConditionShape, MediaOptions
from modalink.tiny_world.sounds.language import describe_sound
from modalink.tiny_world.sounds.notes import Note, Sound, sample_sound
from modalink.tiny_world.sounds.synthesis import MAX_SECONDS, RATE_HZ, play
from modalink.zoo.build import between, caption_towers, cards, made
from modalink.zoo.build.loop import Metrics, Schedule, Trainer, autocast
from modalink.zoo.build.options import Options
from modalink.zoo.sound_classifier import SoundClassifier

FOLDER = "sound_lm"
SCHEDULE = Schedule(steps=6000, lr=2e-3, batch=32, ema=0.99, evaluate_every=1000, weight_decay=0.05)
CODEC = SineCodesConfig(sampling_rate=RATE_HZ)
STEPS = int(MAX_SECONDS * RATE_HZ) // CODEC.hop
"""Codes of each codebook for a sound: 2 s, all of it and silence behind it."""
_WIDTH = 128
_SOUNDS, _BETWEEN = 10_000, 8_000
"""Sounds of the world, and those at pitches that it has not."""
_WAYS = 16
"""In how many ways notes are played: tunings, pauses and lengths. All that chance allows takes longer to learn."""
_FITTED = 60_000
"""Frames that the codebooks are fitted to."""
_REWORDED, _PARTIAL, _UNTOLD = 0.2, 0.4, 0.35
"""Shares of the captions that are in other words, and that leave attributes out; share of the attributes that these
leave out. What is told of a few attributes holds whatever the others are: otherwise it learns which come together."""
_UNCONDITIONAL = 0.1


@dataclass(frozen=True)
class Pool:
    """Codes [n, k, t] of sounds, the tokens of their captions and which of them are there [n, l], and the codebooks."""

    codes: Int[Tensor, "n k t"]
    tokens: Int[Tensor, "n l"]
    there: Int[Tensor, "n l"]
    codebooks: Float[Tensor, "c v m"]

    @classmethod
    def of(cls, tokenizer: CLIPTokenizer, options: Options) -> "Pool":
        """The first sounds of the training split, and others; some captions are reworded."""
        sounds, semitones = _sounds(options.count(_SOUNDS), options.count(_BETWEEN))
        codec = SineCodes(CODEC)
        # Side by side: memory that many small tensors lie in cannot be given back.
        levels, pitches = torch.zeros(2, len(sounds), STEPS, dtype=torch.int64)
        shapes = torch.zeros(len(sounds), STEPS, codec.codebooks.shape[-1])
        for i, pair in enumerate(zip(sounds, semitones, strict=True)):
            levels[i], pitches[i], shapes[i] = codec.frames(_wave(*pair))
        codec.codebooks.copy_(codebooks(shapes[levels > 0]))
        rng = np.random.default_rng(0)
        texts = [_caption(*pair, rng) for pair in zip(sounds, semitones, strict=True)]
        read = tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
        codes = torch.stack([codec.codes(*own) for own in zip(levels, pitches, shapes, strict=True)])
        return cls(codes, read.input_ids, read.attention_mask, codec.codebooks)


def _sounds(own: int, others: int) -> tuple[list[Sound], list[list[float] | None]]:
    """Sounds and how much higher their notes are: the world's have few dozens of kinds, which are learned by heart."""
    strange, semitones = between.sample(np.random.default_rng(8), others)
    sounds = [*(sample_sound(number, "train") for number in range(own)), *strange]
    return [replace(sound, noise=i % _WAYS) for i, sound in enumerate(sounds)], [*[None] * own, *semitones]


def _caption(sound: Sound, semitones: list[float] | None, rng: np.random.Generator) -> str:
    """A caption, without pitches where they are none of the world's."""
    manner = rng.random()
    if semitones is None and manner >= _PARTIAL:
        return describe_sound(sound, rng if manner < _PARTIAL + _REWORDED else None)
    untold = _UNTOLD if manner < _PARTIAL else 0.0
    return ", then ".join(_partly(note, rng, untold, pitched=semitones is None) for note in sound.notes)


def _partly(note: Note, rng: np.random.Generator, untold: float, *, pitched: bool) -> str:
    """A note with some of its attributes."""
    told = [value for value in (note.length, note.pitch if pitched else "", note.motion) if value]
    told = [value for value in told if rng.random() >= untold]
    return " ".join(["a", *told, note.timbre if rng.random() >= untold else "note"])


def _wave(sound: Sound, semitones: list[float] | None) -> Float[Tensor, " n"]:
    wave = play(sound, semitones)[: STEPS * CODEC.hop]
    return torch.from_numpy(np.pad(wave, (0, STEPS * CODEC.hop - len(wave))))


def codebooks(frames: Float[Tensor, "n m"]) -> Float[Tensor, "c v m"]:
    """Codebooks, each the centres of what those before it leave over."""
    chosen = np.random.default_rng(0).permutation(len(frames))[:_FITTED]
    left, books = frames[chosen].numpy(), []
    for _ in range(CODEC.num_quantizers - 2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a centre that nothing is near to is a code that is not said
            book, nearest = kmeans2(left, CODEC.codebook_size, minit="points", iter=25, rng=0)
        books.append(torch.from_numpy(book))
        left = left - book[nearest]
    return torch.stack(books).float()


def generator(text_encoder: nn.Module, tokenizer: CLIPTokenizer) -> Musicgen:
    """The tiny generator, which learns but for its codebooks."""
    decoder = MusicgenDecoderConfig(
        vocab_size=CODEC.codebook_size,
        max_position_embeddings=256,
        num_hidden_layers=4,
        ffn_dim=384,
        num_attention_heads=4,
        hidden_size=_WIDTH,
        dropout=0.1,
        num_codebooks=CODEC.num_quantizers,
        pad_token_id=CODEC.codebook_size,
        bos_token_id=CODEC.codebook_size,
    )
    parts = {"text_encoder": text_encoder, "audio_encoder": SineCodes(CODEC), "decoder": MusicgenForCausalLM(decoder)}
    configs = {name: part.config.to_dict() for name, part in parts.items()}
    model = MusicgenForConditionalGeneration(Architecture(**configs), **parts)
    # Its backward pass is far faster on a CPU than that of the fused kernel.
    model.set_attn_implementation("eager")
    found = Musicgen(
        model,
        tokenizer,
        {TOKENS: ConditionShape(caption_towers.STATE_WIDTH, caption_towers.SOUNDS.length, masked=True)},
        MediaOptions(guidance=1.0, seconds=MAX_SECONDS),
        temperature=1.0,
        top_k=CODEC.codebook_size,
    )
    found.requires_grad_(True)
    model.audio_encoder.requires_grad_(False)
    return found


@torch.no_grad()
def begin_as(model: MusicgenForConditionalGeneration, books: Float[Tensor, "c v m"]) -> None:
    """Let codes begin as what they say: the embeddings of near codes are near, and so are the chances to say them."""
    model.audio_encoder.codebooks.copy_(books)
    turned = torch.linalg.qr(torch.randn(_WIDTH, _WIDTH))[0]
    levels = _places(torch.arange(CODEC.codebook_size).clamp(max=CODEC.levels) / CODEC.levels)
    meant = [levels, _places(torch.arange(CODEC.codebook_size) / CODEC.codebook_size), *books]
    decoder = model.decoder
    for book, read, said in zip(meant, decoder.model.decoder.embed_tokens, decoder.lm_heads, strict=True):
        far = book - book.mean(0)
        rows = far / far.norm(dim=1).mean() @ turned[: book.shape[1]] * _WIDTH**0.5
        read.weight[: len(rows)] = 0.05 * rows
        said.weight.copy_(0.02 * rows)


def _places(shares: Float[Tensor, " v"]) -> Float[Tensor, "v d"]:
    """Waves by which what is near on a scale from 0 to 1 looks alike."""
    angles = shares[:, None] * torch.arange(1, 17) * torch.pi
    return torch.cat([angles.sin(), angles.cos()], 1)


def loss(student: Musicgen, pool: Pool, rows: Tensor) -> tuple[Tensor, Metrics]:
    """Cross-entropy of the codes, with some captions left out."""
    there = pool.there[rows]
    with autocast():
        states = student.model.text_encoder(pool.tokens[rows], attention_mask=there).last_hidden_state.float()
        asked = there.bool() & (torch.rand(len(rows), 1) >= _UNCONDITIONAL)
        error = student.code_error(pool.codes[rows], Conditions({TOKENS: states}, {TOKENS: asked}))
    return error.mean(), {}


def build(options: Options) -> Metrics:
    """Train text encoder, codebooks and decoder and write them as a MusicGen folder."""
    schedule = SCHEDULE.scaled(options.steps_scale)
    tokenizer, text_encoder = _text_encoder(options)
    torch.manual_seed(schedule.seed)
    student, pool = generator(text_encoder, tokenizer), Pool.of(tokenizer, options)
    begin_as(student.model, pool.codebooks)
    trainer = Trainer(student, schedule, options.work / FOLDER)

    def step_loss(step: int) -> tuple[Tensor, Metrics]:
        rng = np.random.default_rng([9800 + schedule.seed, step])
        return loss(student, pool, torch.from_numpy(rng.integers(len(pool.codes), size=schedule.batch)))

    def score(split: str, count: int) -> Metrics:
        publish(student, options)
        config = MusicgenConfig(checkpoint="any").tiny().replace(checkpoint=str(options.out / FOLDER), dtype="float32")
        classifier = SoundClassifier.load(options.out / "sound_classifier")
        return made.measure(config.build(), "audio", split, count, classifier)

    validation = trainer.run(step_loss, lambda: score("validation", options.count(64)))
    test = score("test", options.count(300))
    cards.write(options, FOLDER, FOLDER, schedule, student.model, validation, test)
    return validation


def _text_encoder(options: Options) -> tuple[CLIPTokenizer, nn.Module]:
    """T5's encoder as it begins, having read captions, and its tokenizer."""
    own = replace(options, out=options.work)
    if not (options.work / caption_towers.SOUNDS.name / "result.json").exists():
        caption_towers.SOUNDS.build(own)
    return caption_towers.SOUNDS.parts(own)


def publish(student: Musicgen, options: Options) -> None:
    """Write the networks and the tokenizer."""
    folder: Path = options.out / FOLDER
    cards.save_bf16(student.model, folder)
    student.tokenizer.save_pretrained(folder)
