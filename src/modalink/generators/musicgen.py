"""MusicGen: states of T5 condition a decoder that says the codes of a sound, of which EnCodec makes samples.

Source: Copet et al., Simple and Controllable Music Generation (arXiv 2306.05284), section 2: every codebook is one step
behind the one before it. The networks are transformers'; the loop is ours, so that each item draws from its own source
and can be stopped between two steps, and gives the codes of `MusicgenForConditionalGeneration.generate`.
"""

import math
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor
from torch.nn import functional
from transformers import AutoTokenizer, DynamicCache, EncoderDecoderCache, MusicgenForConditionalGeneration

import modalink.generators._sine_codes  # noqa: F401  a codec that checkpoints may name
from modalink import hub
from modalink.devices import to_device
from modalink.errors import GenerationError, PartError
from modalink.generators._guidance import null_conditions
from modalink.generators._sounds import TargetSound, to_sounds
from modalink.generators._t5 import no_tokens, read_t5
from modalink.kinds import Count
from modalink.modalities.audio import Sound
from modalink.ragged import Ragged
from modalink.roles import (
    Conditions,
    ConditionShape,
    Generator,
    GeneratorConfig,
    Guidance,
    MediaOptions,
    PredictsCodes,
    ReadsText,
    Seconds,
    ShouldStop,
    check_stop,
)

TOKENS = "tokens"
"""Name of its one condition."""
_CONFIGURATIONS = "transformers.configuration_utils"
"""What warns that the padding of every MusicGen lies outside its codes, as it does."""


class MusicgenConfig(GeneratorConfig):
    """Settings of a MusicGen of one channel, as transformers saves it."""

    kind: Literal["musicgen"] = "musicgen"
    seconds: Seconds = 5.0
    """Length of a sound."""
    guidance: Guidance = 3.0
    """Strength of classifier-free guidance; 1 is none."""
    temperature: Annotated[float, Field(ge=0, le=100)] = 1.0
    """How freely codes are drawn; 0 takes the likeliest."""
    top_k: Annotated[int, Field(ge=1, le=2**16)] = 250
    """Only so many of the likeliest codes are drawn."""
    text_tokens: Count = 64
    """Most tokens of T5; the text of a longer caption is cut, and a projector makes as many."""

    def makes(self) -> frozenset[str]:
        """Sounds."""
        return frozenset({"audio"})

    def build(self, *, weights: bool = True) -> "Musicgen":
        """The frozen generator, with the checkpoint's weights or only its architecture.

        Raises:
            PartError: The checkpoint is of another kind, or damaged.
        """
        config = self._architecture()
        if weights:
            with hub.without_advice(_CONFIGURATIONS):
                model = hub.load(
                    MusicgenForConditionalGeneration,
                    self.checkpoint,
                    revision=self.revision,
                    dtype=self.dtype,
                    allow_missing=[r"embed_positions"],
                    allow_unexpected=[r"embed_positions"],
                )
        else:
            with hub.building(f"{self.checkpoint}: its networks cannot be built"):
                model = MusicgenForConditionalGeneration(config)
        tokenizer = None
        if weights:
            tokenizer = hub.read(AutoTokenizer, hub.locate(self.checkpoint, self.revision, weights=False))
        return Musicgen(
            model,
            tokenizer,
            self.condition_shapes(),
            MediaOptions(guidance=self.guidance, seconds=self.seconds),
            temperature=self.temperature,
            top_k=self.top_k,
        )

    def tiny(self) -> "MusicgenConfig":
        """The zoo's, of the codes of partials."""
        own = {"seconds": 2.0, "guidance": 1.5, "temperature": 0.4, "text_tokens": 40}
        return self.from_zoo("sound_lm", **own)

    def condition_shapes(self) -> dict[str, ConditionShape]:
        """T5's states, read without the weights."""
        return {TOKENS: ConditionShape(self._architecture().text_encoder.hidden_size, self.text_tokens, masked=True)}

    def preprocessor(self) -> TargetSound:
        """A sound at EnCodec's rate, a block for each of its steps."""
        codec = self._architecture().audio_encoder
        hop = math.prod(codec.upsampling_ratios)
        return TargetSound(codec.sampling_rate, hop, max(1, math.ceil(self.seconds * codec.sampling_rate / hop)))

    def _architecture(self) -> Any:
        with hub.without_advice(_CONFIGURATIONS):
            config = hub.architecture(self.checkpoint, self.revision)
        if config.model_type != "musicgen":
            raise PartError(f"{self.checkpoint}: found a checkpoint of type {config.model_type!r}, needed a musicgen")
        if config.decoder.audio_channels != 1:
            raise PartError(f"{self.checkpoint}: makes stereo, needed one channel; take facebook/musicgen-small")
        return config


class Musicgen(Generator, PredictsCodes, ReadsText):
    """The frozen networks, and what is done with them.

    Args:
        model: `MusicgenForConditionalGeneration`.
        tokenizer: T5's; None for a bare architecture.
        condition_shapes: T5's states.
        defaults: Guidance and length where a call does not say.
        temperature: How freely codes are drawn; 0 takes the likeliest.
        top_k: Only so many of the likeliest codes are drawn.
    """

    options = frozenset({"guidance", "seconds"})

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        condition_shapes: dict[str, ConditionShape],
        defaults: MediaOptions,
        *,
        temperature: float,
        top_k: int,
    ) -> None:
        super().__init__()
        self.model, self.tokenizer = model, tokenizer
        self.condition_shapes, self.defaults = condition_shapes, defaults
        self.temperature, self.top_k = temperature, top_k
        self.books = model.decoder.num_codebooks
        self.pad = model.config.decoder.pad_token_id
        self.requires_grad_(False).eval()

    def encode_text(self, texts: list[str]) -> Conditions:
        """T5's states of captions, with their mask; a caption that is too long is cut."""
        return read_t5(TOKENS, self.tokenizer, self.model.text_encoder, texts, self.condition_shapes[TOKENS].tokens)

    def null_conditions(self, items: int) -> Conditions:
        """No text at all."""
        return no_tokens(TOKENS, items, self.condition_shapes[TOKENS].item, next(self.model.parameters()))

    @torch.no_grad()
    def encode_media(self, media: Ragged) -> list[Int[Tensor, "k t"]]:
        """The codes of sounds, each of blocks of samples."""
        codec, found = self.model.audio_encoder, []
        for blocks in media:
            wave = blocks.reshape(1, 1, -1).to(codec.dtype)
            found.append(codec.encode(wave).audio_codes[0, 0, : self.books, : len(blocks)])
        return found

    def code_error(self, codes: Int[Tensor, "i k t"], conditions: Conditions) -> Float[Tensor, " i"]:
        """Mean cross-entropy of each item's codes, each given those before it."""
        said, steps = self._delayed(codes), codes.shape[-1]
        logits = self._logits(said[..., :-1], *self._read(conditions))
        # Codebook k says its first code in column k + 1, from the column before.
        own = torch.stack([logits[:, k, k : k + steps] for k in range(self.books)], 1)
        error = functional.cross_entropy(own.flatten(0, 2).float(), codes.flatten(), reduction="none")
        return error.view(len(codes), -1).mean(1)

    @torch.no_grad()
    def sample(
        self,
        conditions: Conditions,
        *,
        rng: list[torch.Generator],
        negative: Conditions | None = None,
        should_stop: ShouldStop | None = None,
        **options: Any,
    ) -> list[Sound]:
        """Sounds, one an item."""
        codes = self.sample_codes(conditions, rng=rng, negative=negative, should_stop=should_stop, **options)
        asked = self.checked(conditions, rng=rng, negative=negative, **options)
        codec = self.model.audio_encoder
        assert asked.seconds is not None
        length = int(asked.seconds * codec.config.sampling_rate)
        waves = [codec.decode(own[None, None], [None]).audio_values[0, 0, :length] for own in codes]
        return to_sounds(waves, codec.config.sampling_rate)

    @torch.no_grad()
    def sample_codes(
        self,
        conditions: Conditions,
        *,
        rng: list[torch.Generator],
        negative: Conditions | None = None,
        should_stop: ShouldStop | None = None,
        **options: Any,
    ) -> Int[Tensor, "i k t"]:
        """The codes of sounds; otherwise as `sample`."""
        asked = self.checked(conditions, rng=rng, negative=negative, **options)
        assert asked.guidance is not None
        steps = self._steps(asked)
        conditions = conditions.to(self.model.device, self.model.dtype)
        away = conditions.take([])
        if asked.guidance > 1:
            away = (null_conditions(self) if negative is None else negative).to(self.model.device, self.model.dtype)
            away = away if len(away) == len(rng) else away.take([0] * len(rng))
        read = self._read(Conditions.cat([conditions, away]))
        said = self._delayed(torch.full((len(rng), self.books, steps), -1, device=self.model.device))
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        for place in range(said.shape[-1] - 1):
            check_stop(should_stop, f"after {place} of {said.shape[-1] - 1} steps")
            column = said[..., place : place + 1]
            scores = self._logits(torch.cat([column, column][: 1 + (asked.guidance > 1)]), *read, cache)[:, :, -1]
            if asked.guidance > 1:
                wanted, other = scores.chunk(2)
                scores = other + asked.guidance * (wanted - other)
            drawn = torch.stack([self._drawn(own, source) for own, source in zip(scores, rng, strict=True)])
            following = said[..., place + 1]
            said[..., place + 1] = torch.where(following == -1, drawn, following)
        return torch.stack([said[:, k, k + 1 : k + 1 + steps] for k in range(self.books)], 1)

    def _steps(self, asked: MediaOptions) -> int:
        """Steps of the codec for a length."""
        config, most = self.model.config.audio_encoder, self.model.config.decoder.max_position_embeddings - self.books
        hop = math.prod(config.upsampling_ratios)
        assert asked.seconds is not None
        steps = math.ceil(int(asked.seconds * config.sampling_rate) / hop)
        if not 1 <= steps <= most:
            least, longest = 1 / config.sampling_rate, most * hop / config.sampling_rate
            raise GenerationError(
                f"seconds: found {asked.seconds:g}, needed a length from {least:.2g} to {longest:g} seconds"
            )
        return steps

    def _delayed(self, codes: Int[Tensor, "i k t"]) -> Int[Tensor, "i k t2"]:
        """Codes, each codebook a column behind the one before, and padding where none says any."""
        items, books, steps = codes.shape
        said = codes.new_full((items, books, steps + books), self.pad)
        for k in range(books):
            said[:, k, k + 1 : k + 1 + steps] = codes[:, k]
        return said

    def _read(self, conditions: Conditions) -> tuple[Float[Tensor, "i l d"], Bool[Tensor, "i l"]]:
        """States as the decoder reads them; one that reads nothing reads zeros."""
        states, there = conditions[TOKENS].to(self.model.dtype), conditions.mask(TOKENS)
        if hasattr(self.model, "enc_to_dec_proj"):
            states = self.model.enc_to_dec_proj(states)
        return states * there[..., None], there | ~there.any(1, keepdim=True)

    def _logits(
        self, said: Int[Tensor, "i k t"], states: Tensor, there: Tensor, cache: Any = None
    ) -> Float[Tensor, "i k t v"]:
        logits: Tensor = self.model.decoder(
            input_ids=said.flatten(0, 1),
            encoder_hidden_states=states,
            encoder_attention_mask=there.long(),
            past_key_values=cache,
            use_cache=cache is not None,
        ).logits
        return logits.view(len(said), self.books, said.shape[-1], -1)

    def _drawn(self, scores: Float[Tensor, "k v"], source: torch.Generator) -> Int[Tensor, " k"]:
        """A code of each codebook."""
        if self.temperature == 0:
            return scores.argmax(-1)
        scores = scores.float() / self.temperature
        least = scores.topk(min(self.top_k, scores.shape[-1])).values[:, -1:]
        chances = to_device(scores.where(scores >= least, -torch.inf).softmax(-1), source.device)
        return to_device(torch.multinomial(chances, 1, generator=source)[:, 0], scores.device)
