"""The parts of a diffusers pipeline by its subfolders, with their weights or only their architecture."""

from typing import Any, Literal

import diffusers
import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedConfig

from modalink import hub
from modalink.errors import PartError, shown
from modalink.kinds import Count
from modalink.roles import GeneratorConfig, Guidance


class PipelineConfig(GeneratorConfig):
    """Settings of a generator whose checkpoint is a diffusers pipeline."""

    solver: Literal["checkpoint", "ddim", "dpm"] = "checkpoint"
    """How it samples: the checkpoint's own scheduler, DDIM, or DPM-Solver++; the noise schedule is the checkpoint's."""

    steps: Count = 20
    """Denoising steps when sampling."""
    guidance: Guidance = 3.0
    """Strength of classifier-free guidance when sampling; 1 is none."""

    def place(self, name: str) -> tuple[str, str | None]:
        """The checkpoint that a subfolder is of, and its revision."""
        return self.checkpoint, self.revision

    def component(self, name: str) -> dict[str, Any]:
        """The configuration of a subfolder."""
        checkpoint, revision = self.place(name)
        return hub.component(checkpoint, name, revision)

    def own_side(self, network: str, levels: str = "block_out_channels") -> int:
        """Side of the checkpoint's own pictures in pixels.

        Args:
            network: The subfolder of the network that restores latents.
            levels: What the VAE's configuration calls its levels.
        """
        with hub.foreign(PartError, f"{self.checkpoint}: found no side of its images in its settings"):
            halvings = len(self.component("vae")[levels]) - 1
            side = self.component(network)["sample_size"] * 2**halvings
            if not 1 <= side <= hub.LARGEST_SIDE:
                raise PartError(
                    f"{self.checkpoint}: it makes images of {shown(side)} px, needed 1 to {hub.LARGEST_SIDE:,}"
                )
            return int(side)

    def demand_widths(self, pairs: dict[str, tuple[Any, Any]]) -> None:
        """Demand that the transformer reads what the networks before it make.

        Args:
            pairs: By what it is called, how wide it is and what is read.

        Raises:
            PartError: Something is of another width.
        """
        for what, (made, read) in pairs.items():
            if made != read:
                raise PartError(f"{self.checkpoint}: {what} are {made} wide, the transformer reads {read}")

    def network(self, name: str, kind: Any, *, weights: bool) -> Any:
        """A network of diffusers from a subfolder."""
        if weights:
            return self._load(name, kind)
        with hub.building(f"{self.checkpoint}: its {name} cannot be built"):
            return kind.from_config(self.component(name))

    def text_config(self, name: str = "text_encoder") -> PreTrainedConfig:
        """The configuration of a text encoder."""
        facts = self.component(name)
        with hub.foreign(PartError, f"{self.checkpoint}: cannot read {name}/config.json"):
            config: PreTrainedConfig = AutoConfig.for_model(facts["model_type"]).from_dict(facts)
            return config

    def text_encoder(self, name: str = "text_encoder", kind: Any = AutoModel, *, weights: bool) -> Any:
        """A network that makes conditions of captions."""
        if weights:
            return self._load(name, kind)
        with hub.building(f"{self.checkpoint}: its {name} cannot be built"):
            config = self.text_config(name)
            return AutoModel.from_config(config, trust_remote_code=False) if kind is AutoModel else kind(config)

    def tokenizer(self, name: str = "tokenizer") -> Any:
        """A text encoder's tokenizer.

        Raises:
            PartError: Its folder is missing or damaged.
        """
        return hub.read(AutoTokenizer, hub.locate(self.checkpoint, self.revision, weights=False) / name)

    def new_solver(self, **changes: Any) -> Any:
        """A scheduler of diffusers over the checkpoint's noise schedule, some of its settings changed."""
        facts = self.component("scheduler")
        own = str(facts.get("_class_name"))
        if not own.endswith("Scheduler") or not hasattr(diffusers, own):
            raise PartError(f"{self.checkpoint}: found a scheduler {shown(own)}, needed one of diffusers")
        names = {"ddim": "DDIMScheduler", "dpm": "DPMSolverMultistepScheduler", "checkpoint": own}
        # The pipeline's own corrections of old checkpoints: latents are never clipped, and times start at 1.
        fixed = {key: value for key, value in {"clip_sample": False, "steps_offset": 1}.items() if key in facts}
        # Its tables are arithmetic, not weights: they are real also where the networks are built without memory.
        what = f"{self.checkpoint}: cannot read scheduler/scheduler_config.json"
        with torch.device("cpu"), hub.foreign(PartError, what):
            return getattr(diffusers, names[self.solver]).from_config(facts | fixed | changes)

    def _load(self, name: str, kind: Any) -> Any:
        checkpoint, revision = self.place(name)
        return hub.load(
            kind,
            checkpoint,
            revision=revision,
            dtype=self.dtype,
            subfolder=name,
            allow_unexpected=[r"position_ids$"],
        )
