"""The composite as Hugging Face saves and loads models: its own weights in the folder, untouched parts by reference."""

import os
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from peft import PeftConfig, inject_adapter_in_model, load_peft_weights, set_peft_model_state_dict
from torch import nn
from transformers import PreTrainedModel

from modalink import hub, tensor_files
from modalink.errors import CheckpointError, PartError, shown
from modalink.model.assembly import Tokens, assemble
from modalink.model.configuration import ModalinkConfig, in_folder, read_config, spec_of
from modalink.model.groups import divided, group_of
from modalink.model.options import LoadingOptions
from modalink.model.references import pretrained, references
from modalink.model.saving import Fingerprint, load_weights, own_state, verify
from modalink.recipe import SystemSpec
from modalink.recipe.groups import LORA, PEFT, Group

_LOADING_INFO = ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs")


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
        parts = assemble(
            spec, Tokens(config.placeholders, config.signals, config.prompt_tokens), without_weights=without_weights
        )
        config.text_config = parts.language_model.config
        return cls(config, **parts.as_arguments())

    @classmethod
    def _from_config(cls, config: ModalinkConfig, **kwargs: Any) -> Self:
        options = LoadingOptions.of(kwargs, config)
        return cls.assembled(config, without_weights=pretrained(_spec_of(config)))._as(options)

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, *args: Any, config: ModalinkConfig | None = None, **kwargs: Any
    ) -> Any:
        """Load a saved system: its own weights from the folder, untouched parts from where they came from.

        Args:
            folder: A folder that `save_pretrained` wrote, or a hub id of one.
            config: A configuration instead of the folder's.
            kwargs: Options as for `PreTrainedModel.from_pretrained`, see `LoadingOptions`. Those of the hub hold for
                the parts that the system refers to as well; `attn_implementation` is the LLM's.

        Returns:
            The model in evaluation mode; with `output_loading_info=True` also the lists of keys that did not fit.

        Raises:
            PartError: A referenced part is not to be had or is not the one that was saved, or an option asks for
                something that a composed system does not have.
            CheckpointError: The folder's weights do not fit the configuration.
        """
        options = LoadingOptions.of(kwargs, config)
        with hub.fetching(**options.fetching):
            path = hub.locate(str(folder), options.revision) / options.subfolder
            config = read_config(path) if config is None else in_folder(config, path)
            with hub.foreign(CheckpointError, str(path)):
                model = cls._loaded(path, config)
        model = model._as(options)
        if options.adapter is not None:
            model._adapt(os.fspath(options.adapter))
        options.place(model.eval())
        return (model, {name: [] for name in _LOADING_INFO}) if options.with_info else model

    @classmethod
    def _loaded(cls, path: Path, config: ModalinkConfig) -> Self:
        spec = _spec_of(config)
        known = references(spec)
        if unknown := sorted(config.references.keys() - known.keys()):
            raise CheckpointError(f"{path}: config.json refers to {shown(unknown[0])}, which is no part of the system")
        for part, reference in config.references.items():
            verify(part, reference, known[Group(part)])
        # A generator is built whole: its other networks need their checkpoint where the denoiser does not.
        made = {Group.denoiser(modality) for modality in spec.learning_generators}
        model = cls.assembled(config, without_weights=pretrained(spec) - config.references.keys() - made)
        load_weights(model, path)
        model.fingerprint = model.traced(config.references)
        return model

    def _as(self, options: LoadingOptions) -> Self:
        """The same model in the precision, and with the attention, that were asked for."""
        if options.attention is not None:
            self.language_model.set_attn_implementation(options.attention)
        return self if options.dtype is None else self.to(options.dtype)

    def _adapt(self, folder: str) -> None:
        """Put adapters of PEFT on the loaded system, strictly: `load_adapter` renames the composite's weights."""
        if any(group.part in {LORA.part, PEFT.part} for group in map(Group, self.trainable_groups())):
            raise PartError(
                f"{folder}: these adapters belong on a system that has adapters of its own, which PEFT would switch "
                "off; load the system, and put them on by `peft.PeftModel.from_pretrained` if that is wanted"
            )
        with hub.foreign(PartError, folder):
            self._inject(folder)

    def _inject(self, folder: str) -> None:
        inject_adapter_in_model(PeftConfig.from_pretrained(folder), self)
        prefix = "base_model.model."  # of a `PeftModel` around a model
        weights = {name.removeprefix(prefix): tensor for name, tensor in load_peft_weights(folder, "cpu").items()}
        result: Any = set_peft_model_state_dict(self, weights)
        missing = [name for name in result.missing_keys if ".lora_" in name]
        if wrong := sorted({*result.unexpected_keys, *missing}):
            raise PartError(f"{folder}: these adapters do not fit the system: {', '.join(wrong[:3])} (of {len(wrong)})")

    def save_pretrained(self, save_directory: str | Path, *args: Any, state_dict: Any = None, **kwargs: Any) -> None:
        """Save the system: trained weights, and the untouched parts by reference (id, revision, hash).

        Args:
            save_directory: The folder to write.
            state_dict: Weights to save instead of the model's, by the model's names.
            kwargs: As for `PreTrainedModel.save_pretrained`.
        """
        known = references(_spec_of(self.config))
        untouched = self.fingerprint.untouched(divided(self.trainable_groups(), known))
        self.config.references = {part: asdict(hub.identity_of(known[Group(part)])) for part in sorted(untouched)}
        state = own_state(self.state_dict() if state_dict is None else state_dict, untouched)
        kwargs["save_original_format"] = False
        with hub.without_bars():
            super().save_pretrained(save_directory, *args, state_dict=state, **kwargs)
        tensor_files.share(Path(save_directory))

    def traced(self, known: Collection[str]) -> Fingerprint:
        """What tells which of these parts, and sections of parts, are still as they are now."""
        return Fingerprint.of(divided(self.trainable_groups(), known), known)

    def trainable_groups(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """All parameters by the names that a stage's `train` uses, for example `inputs.image.projector`."""
        groups: dict[str, list[tuple[str, nn.Parameter]]] = {}
        for name, parameter in self.named_parameters():
            groups.setdefault(group_of(name), []).append((name, parameter))
        return groups


def _spec_of(config: ModalinkConfig) -> SystemSpec:
    return spec_of(config.spec)
