"""The parts of a diffusers pipeline by its subfolders, with their weights or only their architecture."""

from typing import Annotated, Any, Literal

import diffusers
import torch
from pydantic import Field, PositiveInt
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedConfig

from modalink import hub
from modalink.errors import PartError
from modalink.roles import GeneratorConfig


class PipelineConfig(GeneratorConfig):
    """Settings of a generator whose checkpoint is a diffusers pipeline."""

    solver: Literal["checkpoint", "ddim", "dpm"] = "checkpoint"
    """How it samples: the checkpoint's own scheduler, DDIM, or DPM-Solver++; the noise schedule is the checkpoint's."""

    steps: PositiveInt = 20
    """Denoising steps when sampling."""
    guidance: Annotated[float, Field(ge=0)] = 3.0
    """Strength of classifier-free guidance when sampling; 1 is none."""

    def component(self, name: str) -> dict[str, Any]:
        """The configuration of a subfolder."""
        return hub.component(self.checkpoint, name, self.revision)

    def network(self, name: str, kind: Any, *, weights: bool) -> Any:
        """A network of diffusers from a subfolder."""
        return self._load(name, kind) if weights else kind.from_config(self.component(name))

    def text_config(self) -> PreTrainedConfig:
        """The configuration of the text encoder."""
        facts = self.component("text_encoder")
        config: PreTrainedConfig = AutoConfig.for_model(facts["model_type"]).from_dict(facts)
        return config

    def text_encoder(self, *, weights: bool) -> Any:
        """The network that makes conditions of captions."""
        build: Any = AutoModel.from_config
        return self._load("text_encoder", AutoModel) if weights else build(self.text_config())

    def tokenizer(self) -> Any:
        """The text encoder's tokenizer.

        Raises:
            PartError: Its folder is missing or damaged.
        """
        folder = hub.locate(self.checkpoint, self.revision, weights=False) / "tokenizer"
        try:
            return AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            cause = hub.first_line(error)
            raise PartError(f"{self.checkpoint}: cannot read its tokenizer in {folder}: {cause}") from error

    def new_solver(self) -> Any:
        """A scheduler of diffusers over the checkpoint's noise schedule."""
        facts = self.component("scheduler")
        names = {"ddim": "DDIMScheduler", "dpm": "DPMSolverMultistepScheduler", "checkpoint": facts["_class_name"]}
        # The pipeline's own corrections of old checkpoints: latents are never clipped, and times start at 1.
        fixed = {key: value for key, value in {"clip_sample": False, "steps_offset": 1}.items() if key in facts}
        # Its tables are arithmetic, not weights: they are real also where the networks are built without memory.
        with torch.device("cpu"):
            return getattr(diffusers, names[self.solver]).from_config(facts | fixed)

    def _load(self, name: str, kind: Any) -> Any:
        return hub.load(
            kind,
            self.checkpoint,
            revision=self.revision,
            dtype=self.dtype,
            subfolder=name,
            allow_unexpected=[r"position_ids$"],
        )
