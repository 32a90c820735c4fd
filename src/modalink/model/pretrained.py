"""The composite as Hugging Face saves and loads models: its own weights in the folder, untouched parts by reference."""

from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn
from transformers import PreTrainedModel

from modalink import hub, tensor_files
from modalink.model.assembly import Tokens, assemble
from modalink.model.configuration import ModalinkConfig
from modalink.model.groups import group_of
from modalink.model.saving import Fingerprint, load_weights, own_state, refuse_options, verify
from modalink.recipe import SystemSpec
from modalink.recipe.groups import LLM, Group
from modalink.recipe.upgrade import upgraded
from modalink.roles import PartConfig


class ModalinkPreTrainedModel(PreTrainedModel):
    """Shared Hugging Face settings of the composite."""

    config_class = ModalinkConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_attention_backend = True

    def finish(self) -> None:
        """Register the composite with transformers, leaving every weight as it is.

        `post_init` would draw the weights of modules that it does not know to be loaded anew.
        """
        for module in self.modules():
            module._is_hf_initialized = True
        self.post_init()


class SavedByReference(ModalinkPreTrainedModel):
    """A whole composite, made of the parts that its configuration names."""

    fingerprint: Fingerprint
    """Tells the parts that are still as they were loaded."""

    @classmethod
    def assembled(cls, config: ModalinkConfig, *, without_weights: Collection[str] = ()) -> Self:
        """The composite that a configuration describes, its parts loaded from where they come from."""
        spec = _spec_of(config)
        parts = assemble(spec, Tokens(config.placeholders, config.signals), without_weights=without_weights)
        config.text_config = parts.language_model.config
        return cls(config, **parts.as_arguments())

    @classmethod
    def _from_config(cls, config: ModalinkConfig, **kwargs: Any) -> Self:
        refuse_options(kwargs, allowed={"dtype", "torch_dtype", "attn_implementation"})
        return cls.assembled(config, without_weights=_referenced_parts(config))

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, *args: Any, config: ModalinkConfig | None = None, **kwargs: Any
    ) -> Self:
        """Load a saved system: its own weights from the folder, untouched parts from where they came from.

        Args:
            folder: A folder that `save_pretrained` wrote, or a hub id of one.
            config: A configuration instead of the folder's.
            kwargs: `dtype` casts the whole model; `attn_implementation` is handed to the LLM; `revision` picks a
                version of a hub id. Other options of transformers are refused.

        Raises:
            PartError: A referenced part is not to be had or is not the one that was saved.
            CheckpointError: The folder's weights do not fit the configuration.
        """
        refuse_options(kwargs, allowed={"dtype", "torch_dtype", "attn_implementation", "revision"})
        path = hub.locate(str(folder), kwargs.get("revision"))
        config = config or ModalinkConfig.from_pretrained(path)
        spec = _spec_of(config)
        for part, reference in config.references.items():
            verify(part, reference, _config_of(spec, part))
        unnamed = _referenced_parts(config) - config.references.keys()
        model = cls.assembled(config, without_weights=unnamed)
        load_weights(model, path)
        model.fingerprint = Fingerprint.of(model.trainable_groups(), known=config.references)
        dtype = kwargs.get("dtype") or kwargs.get("torch_dtype")
        if isinstance(dtype, torch.dtype):
            model.to(dtype)
        return model.eval()

    def save_pretrained(self, save_directory: str | Path, *args: Any, state_dict: Any = None, **kwargs: Any) -> None:
        """Save the system: trained weights, and the untouched parts by reference (id, revision, hash).

        Args:
            save_directory: The folder to write.
            state_dict: Weights to save instead of the model's, by the model's names.
            kwargs: As for `PreTrainedModel.save_pretrained`.
        """
        untouched = self.fingerprint.untouched(self.trainable_groups())
        spec = _spec_of(self.config)
        self.config.references = {part: asdict(hub.identity_of(_config_of(spec, part))) for part in sorted(untouched)}
        state = own_state(self.state_dict() if state_dict is None else state_dict, untouched)
        kwargs["save_original_format"] = False
        super().save_pretrained(save_directory, *args, state_dict=state, **kwargs)
        tensor_files.share(Path(save_directory))

    def trainable_groups(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """All parameters by the names that a stage's `train` uses, for example `inputs.image.projector`."""
        groups: dict[str, list[tuple[str, nn.Parameter]]] = {}
        for name, parameter in self.named_parameters():
            groups.setdefault(group_of(name), []).append((name, parameter))
        return groups


def _spec_of(config: ModalinkConfig) -> SystemSpec:
    return SystemSpec.model_validate(upgraded(config.spec))


def _referenced_parts(config: ModalinkConfig) -> set[str]:
    """Parts that come from a checkpoint of their own."""
    return {LLM, *map(Group.encoder, _spec_of(config).encoders())}


def _config_of(spec: SystemSpec, part: str) -> PartConfig:
    return spec.llm if part == LLM else spec.encoders()[Group(part).modality or ""]
