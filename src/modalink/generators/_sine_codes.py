"""A codec of partials in the place of EnCodec: codes say how loud, how high and of what partials a frame is.

Samples are made by adding sines (McAulay and Quatieri, Speech Analysis/Synthesis Based on a Sinusoidal Representation,
IEEE ASSP-34, 1986), so no network has to invent phases; and loudness, pitch and shape are codes of their own, so that
what says them can bring together what it never heard together (gain-shape vector quantisation: Gersho and Gray, Vector
Quantization and Signal Compression, 1992, chapter 12). It suits sounds of one voice, such as the tiny world's. It has
the interface of transformers' EncodecModel, and is saved and loaded as any model of transformers.
"""

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel

_WINDOW, _LOUDNESS_WINDOW, _TRANSFORM = 640, 256, 4096
"""Samples in which partials are found, in which loudness is measured, and of the transform."""
_SILENT = 1e-6
_HEARD = math.log(0.005)
"""A sound whose loudest moment is below is silence."""
_RATIOS = np.arange(-6, 81) / 2
"""How many semitones above the pitch each number of a shape is."""
_TOGETHER = 2.0
"""Partials that are nearer to the loudest than so many semitones make the pitch with it."""
_LOWEST_HZ = 60.0
_HISS = 0.002
"""Standard deviation of the noise under every sound: what is as quiet as rounding is not heard beside it."""


class SineCodesConfig(PretrainedConfig):
    """Settings of the codec; names that EnCodec has, too, mean the same.

    Args:
        sampling_rate: Samples a second.
        upsampling_ratios: Numbers whose product are the samples between frames.
        num_quantizers: Codes of a frame: its loudness, its pitch, and of its shape the others.
        codebook_size: Codes of each kind.
        quietest: A frame that is less loud, as a natural logarithm under the loudest, is silence.
        levels: How many levels of loudness lie above silence.
        lowest_hz: Pitch of the lowest code.
        steps: Codes of a semitone.
        depth: Partials that are this much less loud than the loudest are none, as a logarithm.
        spread: Logarithms of a shape are divided by this before they are made magnitudes again, which are what is said
            by codes: 1 says what is loud, much says all alike.
        loudest: How loud the loudest moment of a sound is that is made.
    """

    model_type = "sine_codes"

    def __init__(
        self,
        sampling_rate: int = 16_000,
        upsampling_ratios: Sequence[int] = (16, 20),
        num_quantizers: int = 3,
        codebook_size: int = 256,
        quietest: float = -5.2,
        levels: int = 24,
        lowest_hz: float = 100.0,
        steps: int = 4,
        depth: float = 4.0,
        spread: float = 2.0,
        loudest: float = 0.5,
        **others: Any,
    ) -> None:
        self.sampling_rate, self.upsampling_ratios = sampling_rate, list(upsampling_ratios)
        self.num_quantizers, self.codebook_size = num_quantizers, codebook_size
        self.quietest, self.levels, self.loudest = quietest, levels, loudest
        self.lowest_hz, self.steps, self.depth, self.spread = lowest_hz, steps, depth, spread
        super().__init__(**others)

    @property
    def hop(self) -> int:
        """Samples between frames."""
        return math.prod(self.upsampling_ratios)

    @property
    def step(self) -> float:
        """How far levels of loudness lie apart, as a logarithm."""
        return -self.quietest / (self.levels - 1)


class SineCodes(PreTrainedModel):
    """Between samples of one channel and the codes of its partials, a step for each frame."""

    config_class = SineCodesConfig
    main_input_name = "input_values"

    def __init__(self, config: SineCodesConfig) -> None:
        super().__init__(config)
        books = torch.zeros(config.num_quantizers - 2, config.codebook_size, len(_RATIOS))
        self.codebooks = torch.nn.Parameter(books, requires_grad=False)
        self.post_init()

    def encode(self, waves: Float[Tensor, "i 1 n"]) -> SimpleNamespace:
        """Codes `audio_codes [1 i k t]`, k being the codes of a frame and t the whole hops."""
        codes = torch.stack([self.codes(*self.frames(wave[0])) for wave in waves])
        return SimpleNamespace(audio_codes=codes[None])

    def decode(self, codes: Int[Tensor, "1 i k t"], audio_scales: list[None] | None = None) -> SimpleNamespace:
        """Samples `audio_values [i 1 n]`; `audio_scales` are EnCodec's, of which it has none."""
        waves = [torch.from_numpy(self._played(own)).to(codes.device) for own in codes[0]]
        return SimpleNamespace(audio_values=torch.stack(waves)[:, None])

    def frames(self, wave: Float[Tensor, " n"]) -> tuple[Int[Tensor, " t"], Int[Tensor, " t"], Float[Tensor, "t r"]]:
        """The level of each frame, 0 where it is silent, however loud the sound is, its pitch, and its shape."""
        config = self.config
        wave = wave.float().cpu()
        loud = _logarithm(_windows(wave, _LOUDNESS_WINDOW, config.hop).square().sum(1).mul(2).sqrt()).numpy()
        spectra = _windows(wave, _WINDOW, config.hop, _TRANSFORM).numpy()
        loudest = max([_HEARD, *loud.tolist()])
        levels = 1 + ((loud - loudest - config.quietest) / config.step).round().clip(max=config.levels - 1)
        levels = np.where(loud >= loudest + config.quietest, levels, 0).astype(np.int64)
        pitches, shapes = np.zeros_like(levels), np.zeros((len(levels), len(_RATIOS)), np.float32)
        floor = spectra.max(initial=-np.inf) + config.quietest
        for i in np.flatnonzero(levels):
            least = float(max(floor, spectra[i].max() - config.depth))
            peaks = _peaks(spectra[i], config.sampling_rate, least)
            if len(peaks):
                pitches[i] = pitch = self._pitch(peaks)
                shapes[i] = self._shape(peaks, pitch)
            else:
                levels[i] = 0
        found = (torch.from_numpy(own).to(self.device) for own in (levels, pitches, shapes))
        return tuple(found)  # type: ignore[return-value]  # three, as said

    def codes(
        self, levels: Int[Tensor, " t"], pitches: Int[Tensor, " t"], shapes: Float[Tensor, "t r"]
    ) -> Int[Tensor, "k t"]:
        """Levels, pitches, and of each codebook the nearest code to what those before it leave over; silence is 0."""
        left, found = shapes.float(), [levels, pitches]
        for book in self.codebooks.float():
            nearest = torch.cdist(left, book).argmin(1)
            found.append(nearest.where(levels > 0, 0))
            left = left - book[nearest]
        return torch.stack(found)

    def _semitones(self, hertz: Any) -> Any:
        return 12 * np.log2(hertz / self.config.lowest_hz)

    def _pitch(self, peaks: Float[np.ndarray, "p 2"]) -> int:
        """The code of the middle of what is loudest, which beats where sines lie close."""
        semitones = self._semitones(peaks[:, 0])
        near = np.abs(semitones - semitones[peaks[:, 1].argmax()]) < _TOGETHER
        middle = np.average(semitones[near], weights=np.exp(peaks[near, 1]))
        return int(np.clip(round(middle * self.config.steps), 0, self.config.codebook_size - 1))

    def _shape(self, peaks: Float[np.ndarray, "p 2"], pitch: int) -> Float32[np.ndarray, " r"]:
        """How loud partials are at each ratio, the loudest being 1; 0 where none is."""
        shape = np.zeros(len(_RATIOS), np.float32)
        above = self._semitones(peaks[:, 0]) - pitch / self.config.steps
        places = np.round((above - _RATIOS[0]) * 2).astype(int)
        values = np.exp((peaks[:, 1] - peaks[:, 1].max()) / self.config.spread)
        inside = (places >= 0) & (places < len(_RATIOS))
        np.maximum.at(shape, places[inside], values[inside].astype(np.float32))
        return shape

    def _played(self, codes: Int[Tensor, "k t"]) -> Float32[np.ndarray, " n"]:
        config = self.config
        levels, pitches, *shapes = codes.cpu().numpy()
        frames, samples = np.arange(len(levels)), np.arange(len(levels) * config.hop) / config.hop
        books = self.codebooks.float().cpu().numpy()
        said = sum(book[own] for book, own in zip(books, shapes, strict=True)).clip(min=0)
        partials = np.where(said > math.exp(-config.depth / config.spread), said**config.spread, 0)
        whole = np.sqrt(np.square(partials).sum(1, keepdims=True)).clip(min=_SILENT)
        gains = np.exp(config.quietest + (levels.clip(max=config.levels) - 1) * config.step) * (levels > 0)
        partials = partials / whole * gains[:, None] * config.loudest
        wave = np.random.default_rng(0).normal(0, _HISS, len(samples)) * (levels > 0).any()
        if not (sounding := np.flatnonzero(levels)).size:
            return wave.astype(np.float32)
        semitones = np.interp(samples, sounding, pitches[sounding] / config.steps)
        hertz = config.lowest_hz * 2 ** (semitones / 12)
        phase = 2 * np.pi * np.cumsum(hertz) / config.sampling_rate
        for place in np.flatnonzero(partials.max(0)):
            ratio = 2 ** (_RATIOS[place] / 12)
            heard = np.interp(samples, frames, partials[:, place]) * (ratio * hertz < config.sampling_rate / 2)
            wave += heard * np.sin(ratio * phase + place)  # phases that differ, so that partials do not peak together
        return wave.astype(np.float32)


def _windows(wave: Float[Tensor, " n"], length: int, hop: int, transform: int | None = None) -> Float[Tensor, "t w"]:
    """Hann windows around the beginning of each whole hop: samples whose squares sum to their mean, or spectra."""
    count, window = len(wave) // hop, torch.hann_window(length)
    filled = torch.nn.functional.pad(wave, (length // 2, length // 2 + hop))
    cut = filled.unfold(0, length, hop)[:count] * window
    if transform is None:
        return cut / window.square().sum().sqrt()
    return _logarithm(torch.fft.rfft(cut, transform).abs() * 2 / window.sum())


def _logarithm(magnitudes: Tensor) -> Tensor:
    return magnitudes.clamp(min=_SILENT).log()


def _peaks(spectrum: Float[np.ndarray, " f"], rate_hz: int, least: float) -> Float[np.ndarray, "p 2"]:
    """Frequency in Hz and logarithm of the magnitude of each peak that is loud enough, by parabolas through three."""
    before, here, behind = spectrum[:-2], spectrum[1:-1], spectrum[2:]
    places = np.flatnonzero((here > before) & (here >= behind) & (here > least))
    before, here, behind = before[places], here[places], behind[places]
    aside = (before - behind) / 2 / (before - 2 * here + behind - _SILENT)
    found = np.stack([(places + 1 + aside) * rate_hz / _TRANSFORM, here - (before - behind) * aside / 4], 1)
    return found[found[:, 0] > _LOWEST_HZ]


AutoConfig.register(SineCodesConfig.model_type, SineCodesConfig, exist_ok=True)
AutoModel.register(SineCodesConfig, SineCodes, exist_ok=True)
