"""SpeechT5 speaks (arXiv 2110.07205): frames of a mel spectrogram one by one, and HiFi-GAN makes samples of them.

The networks are transformers'; the loop is ours, so that each text draws from a random source of its own and can be
stopped between two frames. With the same draws it gives the numbers of `SpeechT5ForTextToSpeech.generate_speech`. The
first layers before the decoder drop half of their numbers in speaking, too (Tacotron 2, arXiv 1712.05884, section 2.2).
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from modalink.devices import to_device
from modalink.roles import ShouldStop, check_stop

_END, _LONGEST = 0.5, 20.0
"""From which probability on a frame is the last; most frames for each character, as `generate_speech` has them."""


class SpeechT5Voice(nn.Module):
    """A voice that speaks one passage.

    Args:
        model: `SpeechT5ForTextToSpeech`.
        vocoder: `SpeechT5HifiGan`.
        speaker: Whose voice it is, a vector of an encoder of speakers.
    """

    speaker: Tensor

    def __init__(self, model: Any, vocoder: Any, speaker: Float[Tensor, " d"]) -> None:
        super().__init__()
        self.model, self.vocoder = model, vocoder
        self.register_buffer("speaker", speaker, persistent=False)

    @property
    def rate_hz(self) -> int:
        """Samples a second."""
        rate: int = self.vocoder.config.sampling_rate
        return rate

    def forward(self, ids: list[int], rng: torch.Generator, should_stop: ShouldStop | None) -> Float[Tensor, " n"]:
        """The samples of a passage."""
        wave: Tensor = self.vocoder(self.spectrum(ids, rng, should_stop).to(self.vocoder.dtype))
        return wave

    def spectrum(self, ids: list[int], rng: torch.Generator, should_stop: ShouldStop | None) -> Float[Tensor, "t m"]:
        """The mel spectrogram of a passage."""
        core, out, config = self.model.speecht5, self.model.speech_decoder_postnet, self.model.config
        said = torch.tensor([ids], device=self.model.device)
        mask = torch.ones_like(said)
        read = core.encoder(input_values=said, attention_mask=mask).last_hidden_state
        most = min(int(len(ids) * _LONGEST / config.reduction_factor), config.max_speech_positions)
        last, cache = read.new_zeros(1, 1, config.num_mel_bins), None
        frames: list[Tensor] = []
        while len(frames) < most:
            check_stop(should_stop, f"after {len(frames)} frames of speech")
            made = core.decoder.wrapped_decoder(
                hidden_states=self._entered(last, len(frames), rng),
                attention_mask=None,
                encoder_hidden_states=read,
                encoder_attention_mask=mask,
                past_key_values=cache,
                use_cache=True,
            )
            state, cache = made.last_hidden_state[:, 0], made.past_key_values
            frames.append(out.feat_out(state).view(1, config.reduction_factor, config.num_mel_bins))
            last = frames[-1][:, -1:]
            if torch.sigmoid(out.prob_out(state)).sum() >= _END:
                break
        spectrum: Tensor = out.postnet(torch.cat(frames, 1))[0]
        return spectrum

    def _entered(self, frame: Float[Tensor, "1 1 m"], place: int, rng: torch.Generator) -> Float[Tensor, "1 1 d"]:
        """A frame as the decoder reads it, at its place."""
        entry, config = self.model.speecht5.decoder.prenet, self.model.config
        share, value = config.speech_decoder_prenet_dropout, frame
        for layer in entry.layers:
            value = functional.relu(layer(value))
            chances = torch.full((value.shape[-1],), share, device=rng.device)
            kept = to_device(torch.bernoulli(chances, generator=rng), value.device) == 1
            value = value.where(kept, 0) / (1 - share)
        at = entry.encode_positions
        value = entry.final_layer(value) + at.alpha * at.pe[:, place : place + 1].to(value.dtype)
        who = functional.normalize(self.speaker.to(value.dtype)[None, None], dim=-1)
        entered: Tensor = functional.relu(entry.speaker_embeds_layer(torch.cat([value, who], -1)))
        return entered
