"""What a checkpoint is built like, read without its weights, and for well-known hub ids without a network."""

from functools import cache, partial
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PreTrainedConfig, TimmWrapperConfig

from modalink import json_files, yaml_files
from modalink.errors import MissingExtraError, PartError
from modalink.hub.causes import foreign
from modalink.hub.files import is_hub_id, locate


def architecture(reference: str, revision: str | None = None) -> PreTrainedConfig:
    """The transformers configuration of a checkpoint.

    Well-known hub ids are answered from `known.yaml` and `timm/NAME` from timm's own registry, without a network.

    Raises:
        PartError: The checkpoint is absent, or its configuration is missing, damaged or of an unknown type.
    """
    if is_hub_id(reference) and reference in _known()["pipelines"]:
        raise PartError(f"{reference}: this is a diffusion pipeline, found where one model was needed")
    if not is_known(reference):
        return _read(reference, locate(reference, revision, weights=False))
    if reference.startswith("timm/"):
        return _timm(reference.removeprefix("timm/"))
    config: PreTrainedConfig = AutoConfig.for_model(**_known()["models"][reference])
    return config


def is_known(reference: str) -> bool:
    """Whether a reference names a hub model whose architecture needs no network."""
    return is_hub_id(reference) and (reference.startswith("timm/") or reference in _known()["models"])


def component(reference: str, name: str, revision: str | None = None) -> dict[str, Any]:
    """The configuration of one subfolder of a pipeline, for example `unet`, as JSON data.

    Raises:
        PartError: The pipeline is absent, or its subfolder has no readable configuration.
    """
    if is_hub_id(reference) and reference in _known()["pipelines"]:
        facts: dict[str, Any] = _known()["pipelines"][reference][name]
        return facts
    folder = locate(reference, revision, weights=False) / name
    file = folder / ("scheduler_config.json" if name.endswith("scheduler") else "config.json")
    if not file.is_file() and not (folder.parent / "model_index.json").is_file():
        raise _of(reference, f"found no model_index.json in {folder.parent}, needed a diffusion pipeline of diffusers")
    settings: dict[str, Any] = json_files.read(file, partial(_of, reference), dict[str, Any])
    return settings


def _of(reference: str, detail: str) -> PartError:
    return PartError(f"{reference}: {detail}")


@cache
def _known() -> dict[str, dict[str, Any]]:
    facts: dict[str, dict[str, Any]] = yaml_files.read(Path(__file__).with_name("known.yaml"), PartError).data
    return facts


def _read(reference: str, folder: Path) -> PreTrainedConfig:
    if not (folder / "config.json").is_file():
        found = "a diffusion pipeline" if (folder / "model_index.json").is_file() else "no config.json"
        raise PartError(f"{reference}: found {found} in {folder}; give a folder with one model in Hugging Face format")
    with foreign(PartError, f"{reference}: cannot read {folder / 'config.json'}"):
        config: PreTrainedConfig
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return config


def _timm(name: str) -> PreTrainedConfig:
    """The wrapper's configuration of a timm model such as `nfnet_l0` or `nfnet_l0.ra2_in1k`."""
    try:
        import timm
    except ImportError as error:
        raise MissingExtraError(f"the checkpoint timm/{name}", "timm", "timm") from error
    architecture = name.partition(".")[0]
    if not timm.is_model(architecture):
        near = ", ".join(timm.list_models(f"{architecture.partition('_')[0]}*")[:5])
        raise PartError(f"timm/{name}: timm {timm.__version__} has no model {architecture!r}; near: {near or 'none'}")
    try:
        facts: Any = timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        tags = ", ".join(timm.list_pretrained(f"{architecture}.*")) or "none"
        raise PartError(f"timm/{name}: timm {timm.__version__} knows no such weights; known: {tags}") from error
    settings = {"architecture": architecture, "num_classes": 0}
    if facts is not None:
        settings["pretrained_cfg"] = facts.to_dict()
    config: PreTrainedConfig = TimmWrapperConfig.from_dict(settings)
    return config
