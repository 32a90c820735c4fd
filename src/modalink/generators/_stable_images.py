"""Images of the Stable Diffusion family: latents of pictures, and back."""

from typing import Any

import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from modalink.generators._images import seen, to_images
from modalink.generators._stable import Stable
from modalink.ragged import Ragged
from modalink.roles import Conditions, MediaOptions, ShouldStop, check_stop

# On a CPU, plain attention trains up to 1.9 times faster than the fused one below this latent side (bfloat16), and is
# half as fast at 64 (measured on one thread).
_PLAIN_ATTENTION_SIDE = 32


class StableImages(Stable):
    """Base of generators of the family that make images."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._plain = False

    @torch.no_grad()
    def encode_media(self, media: Ragged) -> Float[Tensor, "i c y x"]:
        """The scaled latents of images in [-1, 1], each of one unit `[3 h w]`.

        The mode of the VAE's posterior and not a draw from it: latents are then a function of the image, which can be
        computed once and kept, and the posterior is far narrower than the least noise that is added to them.
        """
        latents: Tensor = self.vae.encode(media.values.to(self.vae.dtype)).latent_dist.mode()
        return latents.mul(self.vae.config.scaling_factor)

    @torch.no_grad()
    def decode_media(self, latents: Float[Tensor, "i c y x"]) -> Float[Tensor, "i 3 h w"]:
        """Images in [-1, 1] from scaled latents."""
        return self._decoded(latents)

    def visible(self, latents: Float[Tensor, "i c y x"], asked: MediaOptions) -> Float[Tensor, "i 3 h w"]:
        """Images from 0 to 1, with gradients."""
        return seen(self._decoded(latents))

    def _decoded(self, latents: Float[Tensor, "i c y x"]) -> Float[Tensor, "i 3 h w"]:
        images: Tensor = self.vae.decode(latents.to(self.vae.dtype) / self.vae.config.scaling_factor).sample
        return images

    def latent_shape(self, asked: MediaOptions) -> tuple[int, int, int]:
        """Channels, height and width of an image's latents."""
        return self.unet.config.in_channels, *self.latent_grid(asked)

    def to_media(self, latents: Tensor, asked: MediaOptions, should_stop: ShouldStop | None) -> list[Image.Image]:
        """Images from scaled latents."""
        check_stop(should_stop, "before its pixels were made")
        return to_images(self.decode_media(latents))

    def predict(self, noisy: Tensor, times: Tensor, conditions: Conditions) -> Tensor:
        """What the UNet predicts, with the attention that is quicker at this size."""
        plain = noisy.device.type == "cpu" and noisy.shape[-1] <= _PLAIN_ATTENTION_SIDE
        if plain != self._plain:
            self.unet.set_attn_processor(AttnProcessor() if plain else AttnProcessor2_0())
            self._plain = plain
        return super().predict(noisy, times, conditions)
