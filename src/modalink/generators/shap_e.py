"""Shap-E: a transformer restores the weights of a network that knows a shape's surface and its colours; meshes of it.

Source: Jun and Nichol, Shap-E (arXiv 2305.02463). The networks are diffusers' and transformers'; the sampler is ours
and gives the numbers of diffusers' ShapEPipeline and ShapEImg2ImgPipeline. What would make latents of a mesh, the
paper's encoder, diffusers has not: so a projector learns from the conditions of captions, and not by restoring noise.
"""

import copy
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import diffusers
import torch
from diffusers.pipelines.shap_e import ShapERenderer
from jaxtyping import Float
from PIL import Image
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPImageProcessor, CLIPTextModelWithProjection, CLIPVisionModel

from modalink import hub
from modalink.errors import GenerationError, MediumError, PartError
from modalink.generators._latent import LatentWalk
from modalink.generators._pipelines import PipelineConfig
from modalink.generators._stable import read_captions
from modalink.kinds import Count
from modalink.modalities import points
from modalink.modalities._point_units import PointsPreprocessor
from modalink.roles import Conditions, ConditionShape, Guidance, MediaOptions, ReadsText, ShouldStop, check_stop

POOLED, TOKENS = "pooled", "tokens"
"""Names of the condition: a text's one vector, or a picture's states."""
_TARGET_POINTS = 1024


class ShapEConfig(PipelineConfig):
    """Settings of a Shap-E; the checkpoint is a diffusers pipeline."""

    kind: Literal["shap_e"] = "shap_e"
    reads: Literal["text", "image"] = "text"
    """What its condition is of: a text (`openai/shap-e`) or a picture (`openai/shap-e-img2img`)."""
    solver: Literal["checkpoint"] = "checkpoint"
    """How it samples: the checkpoint's own scheduler, which is Heun's; no other has its noise schedule."""
    steps: Count = 64
    """Denoising steps when sampling; all but one of them call the network twice."""
    guidance: Guidance = 15.0
    """Strength of classifier-free guidance when sampling; 1 is none. Of the variant that reads pictures, 3."""
    grid: Annotated[int, Field(ge=4, le=256)] = 128
    """Points along each side of the cube in which the surface is looked for: a finer mesh, and more work and memory."""

    @model_validator(mode="before")
    @classmethod
    def _guided(cls, data: Any) -> Any:
        of_images = isinstance(data, dict) and data.get("reads") == "image"
        return {"guidance": 3.0, **data} if of_images else data

    def makes(self) -> frozenset[str]:
        """Meshes with colours."""
        return frozenset({"points"})

    def tiny(self) -> "ShapEConfig":
        """The zoo's pipeline, which reads texts alone."""
        return self.from_zoo("solid_diffusion", reads="text", guidance=1.0).at_most(steps=16, grid=40)

    def build(self, *, weights: bool = True) -> "ShapE":
        """The frozen generator, with the checkpoint's weights or only its architecture.

        Raises:
            PartError: A part of the pipeline is missing, damaged, or does not fit the others.
        """
        settings = {
            "prior": self.network("prior", diffusers.PriorTransformer, weights=weights),
            "renderer": self.network("shap_e_renderer", ShapERenderer, weights=weights),
            "grid": self.grid,
            "solver": self.new_solver(),
            "condition_shapes": self.condition_shapes(),
            "defaults": MediaOptions(steps=self.steps, guidance=self.guidance),
        }
        self._check(settings["prior"], settings["renderer"], weights=weights)
        if self.reads == "image":
            tower = self.text_encoder("image_encoder", CLIPVisionModel, weights=weights)
            return ShapEOfImages(tower=tower, processor=self._processor() if weights else None, **settings)
        tower = self.text_encoder("text_encoder", CLIPTextModelWithProjection, weights=weights)
        return ShapEOfTexts(tower=tower, tokenizer=self.tokenizer() if weights else None, **settings)

    def new_solver(self, **changes: Any) -> Any:
        """The checkpoint's scheduler as it is: what it predicts is cut to its range, as in training."""
        facts = self.component("scheduler")
        return super().new_solver(**{name: facts[name] for name in ("clip_sample", "steps_offset") if name in facts})

    def condition_shapes(self) -> dict[str, ConditionShape]:
        """CLIP's vector of a text, or its states of a picture's patches, read without the weights."""
        width, name = self._width()
        made, side = self._tower()
        if made != width:
            raise PartError(f"{self.checkpoint}: CLIP makes {name} of width {made}, the prior reads {width}")
        return {name: ConditionShape(width, side**2 if name == TOKENS else None)}

    def preprocessor(self) -> PointsPreprocessor:
        """Points of a mesh with their colours. No latents are made of them."""
        return PointsPreprocessor(_TARGET_POINTS, colors=True, missing_color=0.5)

    def _width(self) -> tuple[int, str]:
        facts = self.component("prior")
        with hub.foreign(PartError, f"{self.checkpoint}: found no width of its condition in prior/config.json"):
            width = int(facts.get("embedding_proj_dim") or facts["embedding_dim"])
            return width, POOLED if self.reads == "text" else TOKENS

    def _tower(self) -> tuple[int, int]:
        """Width of CLIP's features, and how many patches are side by side."""
        name = "text_encoder" if self.reads == "text" else "image_encoder"
        what = f"{self.checkpoint}: found no {name}, which `reads: {self.reads}` asks for"
        try:
            config: Any = self.text_config(name)
        except (PartError, KeyError) as error:
            raise PartError(f"{what}: {error}") from error
        with hub.foreign(PartError, what):
            if self.reads == "text":
                return int(config.projection_dim), 1
            return int(config.hidden_size), int(config.image_size) // int(config.patch_size)

    def _processor(self) -> Any:
        place = hub.locate(self.checkpoint, self.revision, weights=False) / "image_processor"
        return hub.read(CLIPImageProcessor, place)

    def _check(self, prior: Any, renderer: Any, *, weights: bool) -> None:
        with hub.foreign(PartError, f"{self.checkpoint}: its prior and shap_e_renderer do not fit"):
            told = renderer.params_proj.config
            read = sum(rows for rows, _ in told.param_shapes), told.d_latent
            made = prior.config.num_embeddings, prior.config.embedding_dim
            kept = prior.proj_to_clip_embeddings.out_features
        if read != made or kept != 2 * made[1]:
            raise PartError(
                f"{self.checkpoint}: its prior makes {made[0]} x {made[1]} numbers with {kept} outputs each, the "
                f"renderer reads {read[0]} x {read[1]}, and needs twice as many outputs as {read[1]}"
            )
        if weights and not renderer.mesh_decoder.masks.any():
            raise PartError(
                f"{self.checkpoint}: found no triangles in the renderer's table of marching cubes, by which a surface "
                "is made; fetch or save the pipeline again"
            )


class ShapE(LatentWalk):
    """The frozen networks of a pipeline, and what is done with them.

    Args:
        prior: Predicts clean latents.
        renderer: Makes weights of latents, and a mesh by these.
        tower: CLIP's tower, which makes the condition.
        grid: Points along each side of the cube in which the surface is looked for.
        settings: See `LatentWalk`.
    """

    def __init__(self, *, prior: Any, renderer: Any, tower: Any, grid: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.prior, self.renderer, self.tower, self.grid = prior, renderer, tower, grid
        # Half precision has too few digits for the walk, and for places on a fine grid.
        self.walks_in = torch.promote_types(prior.dtype, torch.float32)
        nn.Module.to(renderer, torch.promote_types(renderer.dtype, torch.float32))
        self.requires_grad_(False).eval()

    def null_conditions(self, items: int) -> Conditions:
        """Zeros."""
        weight = self.prior.proj_in.weight
        shapes = self.condition_shapes
        return Conditions({name: weight.new_zeros(items, *shape.item) for name, shape in shapes.items()})

    def predict(self, noisy: Tensor, times: Tensor, conditions: Conditions) -> Tensor:
        """The clean latents; what is learned of their spread is left out."""
        dtype = self.prior.dtype
        found: Tensor = self.prior(
            noisy.to(dtype), timestep=times, proj_embedding=self.read(conditions).to(dtype)
        ).predicted_image_embedding
        return found[..., : noisy.shape[-1]].to(noisy.dtype)

    def read(self, conditions: Conditions) -> Float[Tensor, "i ..."]:
        """What the prior reads of the conditions."""
        (values,) = conditions.tensors.values()
        return values

    def latent_shape(self, asked: MediaOptions) -> tuple[int, int]:
        """Rows of weights, and numbers of each."""
        return self.prior.config.num_embeddings, self.prior.config.embedding_dim

    def to_media(self, latents: Tensor, asked: MediaOptions, should_stop: ShouldStop | None) -> list[points.Cloud]:
        """Meshes with linear colours, one of each item's latents.

        Raises:
            GenerationError: There is no surface in one, or one with more triangles than are written.
        """
        return [self._mesh(one, f"item {i}", should_stop) for i, one in enumerate(latents)]

    @torch.no_grad()
    def _mesh(self, latents: Tensor, label: str, should_stop: ShouldStop | None) -> points.Cloud:
        # The renderer puts the weights that it makes into its own network: that of a copy, so that nothing is left.
        own, network = copy.copy(self.renderer), copy.deepcopy(self.renderer.mlp)
        own._modules = {**own._modules, "mlp": network, "mesh_decoder": _Surface(own.mesh_decoder, label)}
        network.register_forward_pre_hook(lambda *_: check_stop(should_stop, f"before the mesh of {label} was made"))
        mesh = own.decode_to_mesh(latents[None].to(own.dtype), latents.device, grid_size=self.grid)
        colors = torch.stack([mesh.vertex_channels[channel] for channel in "RGB"], -1).clamp(0, 1)
        cloud = points.Cloud(*(part.cpu().numpy() for part in (mesh.verts, colors, mesh.faces)))
        try:
            return points.read(cloud, label)
        except MediumError as error:
            raise GenerationError(f"{error}; its grid has {self.grid} points a side, choose another `grid`") from None


class _Surface(nn.Module):
    """Finds the surface between inside and outside where there is one."""

    def __init__(self, decoder: nn.Module, label: str) -> None:
        super().__init__()
        self.decoder, self.label = decoder, label

    def forward(self, field: Float[Tensor, "x y z"], low: Tensor, size: Tensor) -> Any:
        if not (field > 0).any():
            raise GenerationError(
                f"{self.label}: found no surface, since no point of the grid lies inside the shape; needed some: take "
                "another seed, less guidance, more steps or a finer grid"
            )
        return self.decoder(field, low, size)


class ShapEOfTexts(ShapE, ReadsText):
    """Meshes from CLIP's vector of a text, of which the direction alone is read.

    Args:
        tokenizer: Of the tower; None for a bare architecture.
        settings: See `ShapE`.
    """

    def __init__(self, *, tokenizer: Any, **settings: Any) -> None:
        super().__init__(**settings)
        self.tokenizer = tokenizer

    @torch.no_grad()
    def encode_text(self, texts: list[str]) -> Conditions:
        """The pipeline's own condition for captions, numbers of variance one; a caption that is too long is cut."""
        tokens = read_captions(self.tokenizer, texts, self.tower.config.max_position_embeddings)
        found = self.tower(tokens.input_ids.to(self.tower.device)).text_embeds
        return Conditions({POOLED: _of_unit_variance(found)})

    def read(self, conditions: Conditions) -> Float[Tensor, "i ..."]:
        """A vector as long as those of captions."""
        return _of_unit_variance(conditions[POOLED].to(self.walks_in))


class ShapEOfImages(ShapE):
    """Meshes from CLIP's states of a picture's patches. No text has such states, so captions are no targets.

    Args:
        processor: Makes pixels of pictures for the tower; None for a bare architecture.
        settings: See `ShapE`.
    """

    def __init__(self, *, processor: Any, **settings: Any) -> None:
        super().__init__(**settings)
        self.processor = processor

    @torch.no_grad()
    def encode_images(self, images: Sequence[Image.Image]) -> Conditions:
        """The pipeline's own condition for pictures: the states of their patches, without that of the whole."""
        pixels = self.processor([image.convert("RGB") for image in images], return_tensors="pt").pixel_values
        states = self.tower(pixels.to(self.tower.device, self.tower.dtype)).last_hidden_state
        return Conditions({TOKENS: states[:, 1:]})


def _of_unit_variance(vectors: Float[Tensor, "i d"]) -> Float[Tensor, "i d"]:
    return functional.normalize(vectors, dim=-1) * vectors.shape[-1] ** 0.5
