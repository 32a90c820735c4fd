"""Stable unCLIP: CLIP's vector of a picture conditions Stable Diffusion 2.1, which draws variations of what it shows.

Source: unCLIP, Ramesh et al. (arXiv 2204.06125); the numbers are those of diffusers' StableUnCLIPImg2ImgPipeline
without words. The vector is put under noise of a level that the network is told; ImageBind has vectors in the same
space, so that CoDi-2 and BindDiffusion draw from sounds by it.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import diffusers
import torch
from diffusers.models.embeddings import get_timestep_embedding
from diffusers.pipelines.stable_diffusion import StableUnCLIPImageNormalizer
from jaxtyping import Float
from PIL import Image
from pydantic import Field
from torch import Tensor
from transformers import AutoImageProcessor, CLIPVisionModelWithProjection

from modalink import hub
from modalink.devices import to_device
from modalink.errors import PartError
from modalink.generators._diffusion import Predict
from modalink.generators._guidance import null_conditions
from modalink.generators._latent import able
from modalink.generators._stable import TOKENS, StableConfig
from modalink.generators._stable_images import StableImages
from modalink.generators.stable_diffusion import StableDiffusionConfig
from modalink.roles import Conditions, ConditionShape, Guidance, MediaOptions, ShouldStop

IMAGE = "image"
"""Name of its one condition."""


class StableUnclipConfig(StableConfig):
    """Settings of a Stable unCLIP; the checkpoint is a diffusers pipeline of image variations."""

    kind: Literal["stable_unclip"] = "stable_unclip"
    guidance: Guidance = 10.0
    """Strength of classifier-free guidance when sampling; 1 is none."""
    noise_level: Annotated[int, Field(ge=0, le=999)] = 0
    """How far the vector is put under noise, a time of the checkpoint's schedule for it: more of it lets what is drawn
    differ more."""

    def makes(self) -> frozenset[str]:
        """Images."""
        return frozenset({"image"})

    def tiny(self) -> StableDiffusionConfig:
        """The zoo's pipeline, whose conditions are text tokens."""
        plain = StableDiffusionConfig(checkpoint=self.checkpoint, steps=self.steps, guidance=min(self.guidance, 7.5))
        return plain.tiny()

    def build(self, *, weights: bool = True) -> "StableUnclip":
        """The frozen generator, with the checkpoint's weights or only its architecture.

        Raises:
            PartError: A part of the pipeline is missing, damaged, or does not fit the others.
        """
        self.check_widths()
        folder = hub.locate(self.checkpoint, self.revision, weights=False) if weights else None
        made = StableUnclip(
            unet=self.network("unet", diffusers.UNet2DConditionModel, weights=weights),
            normalizer=self.network("image_normalizer", StableUnCLIPImageNormalizer, weights=weights),
            tower=self.text_encoder("image_encoder", CLIPVisionModelWithProjection, weights=weights),
            processor=None if folder is None else hub.read(AutoImageProcessor, folder / "feature_extractor"),
            noising=self._noising(),
            noise_level=self.noise_level,
            **self.shared(weights),
        )
        return able(made, self.checkpoint)

    def condition_shapes(self) -> dict[str, ConditionShape]:
        """CLIP's vector of a picture, read without the weights."""
        with hub.foreign(PartError, f"{self.checkpoint}: found no condition in its settings"):
            return {IMAGE: ConditionShape(self.component("image_normalizer")["embedding_dim"])}

    def check_widths(self) -> None:
        """Demand that the encoders make what the UNet reads.

        Raises:
            PartError: They do not.
        """
        unet, width = self.component("unet"), self.condition_shapes()[IMAGE].width
        made = self.text_config("image_encoder").projection_dim, self.text_config().hidden_size, 2 * width
        read = width, unet.get("cross_attention_dim"), unet.get("projection_class_embeddings_input_dim")
        if unet.get("class_embed_type") != "projection" or made != read:
            raise PartError(
                f"{self.checkpoint}: its encoders make a vector of a picture, words and a vector with its level of the "
                f"widths {made}, the UNet reads {read}; needed a pipeline of Stable unCLIP"
            )

    def _noising(self) -> Any:
        """The schedule of the noise that vectors are put under."""
        facts = self.component("image_noising_scheduler")
        what = f"{self.checkpoint}: cannot read image_noising_scheduler/scheduler_config.json"
        with torch.device("cpu"), hub.foreign(PartError, what):
            return diffusers.DDPMScheduler.from_config(facts)


class StableUnclip(StableImages):
    """Images from the vector of a picture.

    Args:
        normalizer: Mean and spread of such vectors.
        tower: CLIP's tower of pictures.
        processor: What a picture goes through before it; None for a bare architecture.
        noising: The schedule of the noise that vectors are put under.
        noise_level: A time of it.
        settings: See `Stable`.
    """

    def __init__(
        self, *, normalizer: Any, tower: Any, processor: Any, noising: Any, noise_level: int, **settings: Any
    ) -> None:
        super().__init__(**settings)
        self.normalizer, self.tower, self.processor = normalizer, tower, processor
        self.noising, self.noise_level = noising, noise_level
        self._no_words: tuple[Any, Tensor] | None = None
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def encode_images(self, images: Sequence[Image.Image]) -> Conditions:
        """The pipeline's own condition for pictures."""
        pixels = self.processor([image.convert("RGB") for image in images], return_tensors="pt").pixel_values
        return Conditions({IMAGE: self.tower(pixels.to(self.tower.device, self.tower.dtype)).image_embeds})

    def null_conditions(self, items: int) -> Conditions:
        """Zeros, with which the network is told no level either."""
        width = self.condition_shapes[IMAGE].width
        return Conditions({IMAGE: self.unet.conv_in.weight.new_zeros(items, width)})

    def guided(self, conditions: Conditions, asked: MediaOptions, negative: Conditions | None) -> Predict:
        """What the network predicts, pushed away from a negative vector as it is, without noise."""
        away = null_conditions(self) if negative is None else negative
        return super().guided(self._told(conditions), asked, self._told(away))

    def denoising_error(
        self, latents: Float[Tensor, "i ..."], conditions: Conditions, rng: list[torch.Generator]
    ) -> Float[Tensor, " i"]:
        """See `LatentDiffusion`; the vectors are under noise, too, drawn first."""
        return super().denoising_error(latents, self._told(conditions, rng), rng)

    def predict(self, noisy: Tensor, times: Tensor, conditions: Conditions) -> Tensor:
        """What the UNet predicts beside no words."""
        told, words = self._told(conditions), self._silence()
        return super().predict(noisy, times, Conditions({TOKENS: words.expand(len(noisy), -1, -1), **told.tensors}))

    def further(self, noisy: Tensor, conditions: Conditions) -> dict[str, Any]:
        """The vector and its level."""
        return {"class_labels": conditions[IMAGE].to(self.unet.dtype)}

    def _walk(
        self,
        conditions: Conditions,
        asked: MediaOptions,
        rng: list[torch.Generator],
        negative: Conditions | None,
        should_stop: ShouldStop | None,
    ) -> Tensor:
        return super()._walk(self._told(conditions, rng), asked, rng, negative, should_stop)

    def _told(self, conditions: Conditions, rng: list[torch.Generator] | None = None) -> Conditions:
        """Vectors `[i d]` as the UNet reads them `[i 2d]`: under noise, with their level; as they are, if they are so.

        Without sources of noise they are its mean. A vector of zeros asks for nothing: all is zeros.
        """
        vectors = conditions[IMAGE]
        if vectors.shape[-1] != self.condition_shapes[IMAGE].width:
            return conditions
        noise = torch.zeros_like(vectors)
        if rng is not None:
            drawn = [torch.randn(vectors.shape[1:], generator=g, device=g.device, dtype=vectors.dtype) for g in rng]
            noise = to_device(torch.stack(drawn), vectors.device)
        mean, spread = (values.to(vectors) for values in (self.normalizer.mean, self.normalizer.std))
        level = torch.full((len(vectors),), self.noise_level, device=vectors.device)
        noisy = self.noising.add_noise((vectors - mean) / spread, noise, level) * spread + mean
        told = get_timestep_embedding(level, vectors.shape[-1], flip_sin_to_cos=True, downscale_freq_shift=0)
        found = torch.cat([noisy, told.to(vectors)], 1)
        return Conditions({IMAGE: found.where(vectors.any(-1, keepdim=True), 0.0)})

    def _silence(self) -> Float[Tensor, "1 l d"]:
        """The states of no words, computed once for each precision and device."""
        weight = next(self.text_encoder.parameters())
        where = weight.device.type
        key = (weight.device, weight.dtype, torch.is_inference_mode_enabled(), torch.is_autocast_enabled(where))
        if self._no_words is None or self._no_words[0] != key:
            self._no_words = key, self.encode_text([""])[TOKENS]
        return self._no_words[1]
