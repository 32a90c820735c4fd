"""Voices: the words of the reply become speech, by SpeechT5 with HiFi-GAN or by VITS.

The condition is text, as ids of its characters: no projector makes them, the words of the reply do. A text is spoken
sentence by sentence; between two sentences stands a short silence.
"""

from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from transformers import AutoTokenizer, SpeechT5ForTextToSpeech, SpeechT5HifiGan, SpeechT5HifiGanConfig, VitsModel

from modalink import hub
from modalink.errors import GenerationError, PartError, shown
from modalink.generators._sounds import TargetSound, to_sounds
from modalink.generators._speecht5 import SpeechT5Voice
from modalink.generators._spelling import Characters, passages, spelled_out
from modalink.generators._vits import VitsVoice
from modalink.modalities.audio import Sound
from modalink.roles import Conditions, ConditionShape, Generator, GeneratorConfig, ReadsText, ShouldStop, check_stop

CHARACTERS = "characters"
"""Name of its one condition."""
MOST = 8192
"""Most ids of one text, with one between passages."""
_PAUSE_S, _NOTHING_S = 0.2, 0.1
"""Silence between two passages, and for a text in which nothing can be spoken."""
_LONGEST_VITS = 400
"""Characters of a passage for VITS, which says no limit of its own."""


class SpeechConfig(GeneratorConfig):
    """Settings of a voice; the checkpoint is a SpeechT5 or a VITS (MMS) of transformers."""

    kind: Literal["speech"] = "speech"
    vocoder: str | None = None
    """The HiFi-GAN that makes sound of SpeechT5's spectrograms: microsoft/speecht5_hifigan; VITS needs none."""
    vocoder_revision: str | None = None
    """Commit or tag of a hub vocoder."""
    speaker: str | int | None = Field(default=None, union_mode="left_to_right")
    """Whose voice: for SpeechT5 a file (.npy) with the vector of a speaker, and if not set nobody's, a vector of zeros;
    for a VITS of several speakers the number of one."""

    def makes(self) -> frozenset[str]:
        """Sounds."""
        return frozenset({"audio"})

    def checkpoints(self) -> tuple[tuple[str, str | None], ...]:
        """The voice, and its vocoder."""
        vocoder = () if self.vocoder is None else ((self.vocoder, self.vocoder_revision),)
        return (*super().checkpoints(), *vocoder)

    def build(self, *, weights: bool = True) -> "Speech":
        """The frozen voice, with the checkpoint's weights or only its architecture.

        Raises:
            PartError: The checkpoint is of another kind, a part is missing or damaged, or there is no such speaker.
        """
        config = self._architecture()
        voice = self._speecht5(config, weights) if config.model_type == "speecht5" else self._vits(config, weights)
        return Speech(voice, self._spelling(config) if weights else None, self.condition_shapes())

    def condition_shapes(self) -> dict[str, ConditionShape]:
        """The characters of a text; the last id stands between passages."""
        return {CHARACTERS: ConditionShape(1, MOST, masked=True, vocabulary=self._architecture().vocab_size + 1)}

    def preprocessor(self) -> TargetSound:
        """A sound at the voice's rate, in blocks of a hundredth of a second."""
        config = self._architecture()
        rate = getattr(config, "sampling_rate", 16_000)
        return TargetSound(rate, rate // 100, 6000)

    def _architecture(self) -> Any:
        config = hub.architecture(self.checkpoint, self.revision)
        if config.model_type not in ("speecht5", "vits"):
            raise PartError(
                f"{self.checkpoint}: found a checkpoint of type {config.model_type!r}, needed a voice: speecht5 or vits"
            )
        return config

    def _network(self, kind: Any, reference: str, revision: str | None, weights: bool, **names: Any) -> Any:
        if weights:
            return hub.load(kind, reference, revision=revision, dtype=self.dtype, **names)
        with hub.building(f"{reference}: its {kind.__name__} cannot be built"):
            return kind(hub.architecture(reference, revision))

    def _speecht5(self, config: Any, weights: bool) -> SpeechT5Voice:
        if self.vocoder is None:
            raise PartError(
                f"{self.checkpoint}: makes spectrograms, and no vocoder is named that makes sound of them; give one: "
                "vocoder: microsoft/speecht5_hifigan"
            )
        rest = {"allow_missing": [r"encode_positions\.pe$"], "allow_unexpected": [r"encode_positions\.pe$"]}
        found = hub.architecture(self.vocoder, self.vocoder_revision)
        bands = getattr(found, "model_in_dim", None)
        if (found.model_type, bands) != (SpeechT5HifiGanConfig.model_type, config.num_mel_bins):
            raise PartError(
                f"{self.vocoder}: found a {found.model_type} of {bands} bands, needed a HiFi-GAN of the "
                f"{config.num_mel_bins} bands that {self.checkpoint} makes"
            )
        model = self._network(SpeechT5ForTextToSpeech, self.checkpoint, self.revision, weights, **rest)
        vocoder = self._network(SpeechT5HifiGan, self.vocoder, self.vocoder_revision, weights)
        return SpeechT5Voice(model, vocoder, self._vector(config.speaker_embedding_dim))

    def _vits(self, config: Any, weights: bool) -> VitsVoice:
        several = range(config.num_speakers) if config.num_speakers > 1 else range(0)
        fits = self.speaker is None or (isinstance(self.speaker, int) and self.speaker in several)
        if not fits or self.vocoder is not None:
            what = f"the speaker {shown(self.speaker)}" if not fits else f"the vocoder {self.vocoder}"
            needed = f"a speaker from 0 to {len(several) - 1}" if several else "no speaker, since it has one alone"
            raise PartError(f"{self.checkpoint}: found {what}; needed {needed}, and no vocoder")
        model = self._network(VitsModel, self.checkpoint, self.revision, weights)
        return VitsVoice(model, 0 if several and self.speaker is None else self.speaker)  # type: ignore[arg-type]

    def _vector(self, width: int) -> Float[Tensor, " d"]:
        """The speaker's vector."""
        if self.speaker is None:
            return torch.zeros(width)
        needed = f"needed a file (.npy) with the {width} numbers of a speaker"
        if not isinstance(self.speaker, str):
            raise PartError(f"speaker: found {self.speaker}, {needed}")
        try:
            found = np.load(Path(self.speaker), allow_pickle=False)
        except Exception as error:  # numpy lets every error of its header's parser through
            raise PartError(f"speaker: {self.speaker} cannot be read ({error}), {needed}") from None
        if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiu" or found.size != width:
            raise PartError(f"speaker: {self.speaker} holds {shown(getattr(found, 'shape', found))}, {needed}")
        vector = torch.from_numpy(found.astype(np.float32)).flatten()
        if not vector.isfinite().all():
            raise PartError(f"speaker: {self.speaker} holds NaN or infinite numbers, {needed}")
        return vector

    def _spelling(self, config: Any) -> "Spelling":
        folder = hub.locate(self.checkpoint, self.revision, weights=False)
        if config.model_type == "speecht5":
            characters = Characters(folder / "spm_char.model")
            return Spelling(lambda text: characters(spelled_out(text)), min(config.max_text_positions, 450) - 2)
        tokenizer = hub.read(AutoTokenizer, folder)
        if getattr(tokenizer, "phonemize", False) or getattr(tokenizer, "is_uroman", False):
            reads = "phonemes" if tokenizer.phonemize else "text in Roman letters of another script"
            raise PartError(
                f"{self.checkpoint}: reads {reads}, which modalink does not make; take a voice that reads characters, "
                "for example facebook/mms-tts-eng"
            )
        return Spelling(partial(_ids, tokenizer), _LONGEST_VITS)


def _ids(tokenizer: Any, text: str) -> list[int]:
    """Characters that a VITS knows; nothing of a text of which it knows none."""
    kept = tokenizer.prepare_for_tokenization(text)[0]
    known = "".join(c for c in kept if c in tokenizer.encoder)
    return [*tokenizer(known).input_ids] if known.strip() else []


class Spelling:
    """How a voice reads a text.

    Args:
        ids: Ids of one passage; none where nothing of it can be spoken.
        longest: Most characters of a passage.
    """

    def __init__(self, ids: Any, longest: int) -> None:
        self.ids, self.longest = ids, longest

    def __call__(self, text: str) -> list[list[int]]:
        """Ids of the passages of a text."""
        return [ids for passage in passages(text, self.longest) if (ids := self.ids(passage))]


class Speech(Generator, ReadsText):
    """A frozen voice.

    Args:
        voice: Speaks one passage.
        spelling: How it reads a text; None for a bare architecture.
        condition_shapes: The characters of a text.
    """

    def __init__(self, voice: nn.Module, spelling: Any, condition_shapes: dict[str, ConditionShape]) -> None:
        super().__init__()
        self.voice: Any = voice
        self.spelling = spelling
        self.condition_shapes = condition_shapes
        self.requires_grad_(False).eval()

    def encode_text(self, texts: list[str]) -> Conditions:
        """The ids of texts, passage by passage; what the voice has no sign for is left out.

        Raises:
            GenerationError: A text is too long for one sound.
        """
        ids = torch.zeros(len(texts), MOST, 1, dtype=torch.long)
        there = torch.zeros(len(texts), MOST, dtype=torch.bool)
        for row, text in enumerate(texts):
            spoken = [number for passage in self.spelling(text) for number in (*passage, self._between)][:-1]
            if len(spoken) > MOST:
                raise GenerationError(
                    f"found a text of {len(text):,} characters to speak, which takes {len(spoken):,} ids; at most "
                    f"{MOST:,} become one sound: lower max_new_tokens, or speak it in parts"
                )
            ids[row, : len(spoken), 0], there[row, : len(spoken)] = torch.tensor(spoken, dtype=torch.long), True
        return Conditions({CHARACTERS: ids}, {CHARACTERS: there})

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
        """The texts spoken, one sound each; a text in which nothing can be spoken is a tenth of a second of silence."""
        self.checked(conditions, rng=rng, negative=negative, **options)
        ids, there = conditions[CHARACTERS][..., 0].cpu(), conditions.mask(CHARACTERS).cpu()
        said = [
            self._passages(own[mask].tolist(), item) for item, (own, mask) in enumerate(zip(ids, there, strict=True))
        ]
        waves = [self._spoken(texts, source, should_stop) for texts, source in zip(said, rng, strict=True)]
        return to_sounds(waves, self.voice.rate_hz)

    @property
    def _between(self) -> int:
        """The id between two passages."""
        vocabulary = self.condition_shapes[CHARACTERS].vocabulary
        assert vocabulary is not None
        return vocabulary - 1

    def _passages(self, ids: list[int], item: int) -> list[list[int]]:
        if wrong := [number for number in ids if not 0 <= number <= self._between]:
            raise GenerationError(f"item {item}: found the id {wrong[0]}, needed ids from 0 to {self._between}")
        found: list[list[int]] = [[]]
        for number in ids:
            if number == self._between:
                found.append([])
            else:
                found[-1].append(number)
        return [passage for passage in found if passage]

    def _spoken(
        self, texts: list[list[int]], source: torch.Generator, should_stop: ShouldStop | None
    ) -> Float[Tensor, " n"]:
        rate = self.voice.rate_hz
        pieces: list[Tensor] = []
        for number, ids in enumerate(texts):
            check_stop(should_stop, f"after {number} of {len(texts)} passages")
            wave = self.voice(ids, source, should_stop).float()
            pieces += [wave.new_zeros(int(_PAUSE_S * rate)), wave] if pieces else [wave]
        return torch.cat(pieces) if pieces else torch.zeros(int(_NOTHING_S * rate))
