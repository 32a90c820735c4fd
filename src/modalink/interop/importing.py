"""From a released checkpoint to a recipe whose parts are that checkpoint's, nothing of it left over."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedConfig, PreTrainedModel

from modalink import files, hub, json_files, modalities, prompts
from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.errors import PartError, PromptError, UnknownNameError
from modalink.interop.family import Family, Source, families
from modalink.interop.original import CHOSEN, Trained, recipe_of_original
from modalink.llms.pretrained import PretrainedLlmConfig
from modalink.model import skeleton
from modalink.recipe import Recipe

_NOT_WEIGHTS = (r"position_ids$", r"rotary_emb\.inv_freq$", r"\.masked_bias$")
"""Constants that older versions of transformers saved."""
_RUN = "recipe.yaml"


def recipe_of(
    reference: str,
    revision: str | None = None,
    *,
    name: str | None = None,
    template: str | None = None,
    llm: str | None = None,
    encoder: str | None = None,
) -> Recipe:
    """The recipe of a released checkpoint: its parts refer to it, and it has no stages.

    Args:
        reference: A folder that `save_pretrained` of transformers wrote, or one of a system in its authors' own format,
            or a hub id.
        revision: Commit or tag of a hub id; what it is now is written into the recipe.
        name: Name of the recipe; by default that of the checkpoint.
        template: Prompt template; by default the tokenizer's own, or, if it has none or one that writes no media, that
            of the architecture.
        llm: Folder or hub id of the LLM, of a checkpoint in its authors' format that holds none; by default the one of
            the release.
        encoder: The same of the encoder.

    Raises:
        PartError: It is no checkpoint, is damaged, or of a form that has no parts here: what does not fit is named.
        UnknownNameError: Nothing is known of its architecture.
    """
    at, revision, folder = pinned(reference, revision)
    if not (folder / "config.json").is_file() and hub.weight_files(folder):
        beside = (each and _absolute(each) for each in (llm, encoder))
        recipe = recipe_of_original(Trained(at, revision, hub.outline(at, revision), *beside), template=template)
        return recipe.model_copy(update={"name": name or _name(reference)})
    if (given := llm or encoder) is not None:
        raise PartError(f"{reference}: found {given!r} for a part of it, and it holds all its parts; leave that out")
    source = read_source(reference, revision)
    family = family_of(source)
    theirs = native(source, family)
    parts = family.parts(source)
    chosen, why = (template, CHOSEN) if template else _template(source, family, parts)
    said = f"code: config.json and processor of {reference}"
    recipe = Recipe.model_validate(
        {
            "name": name or _name(reference),
            "paper": family.paper.model_dump(),
            **parts,
            "prompt": {"template": chosen},
            "provenance": {"inputs": said, "llm": said, "prompt": why},
        }
    )
    ours = {name: tensor.shape for name, tensor in skeleton(recipe).state_dict().items()}
    family.names(source).check(theirs, ours, reference)
    return recipe


def pinned(reference: str, revision: str | None = None) -> tuple[str, str | None, Path]:
    """A reference that means the same wherever it is read, the commit of a hub id, and the folder of either.

    Raises:
        PartError: It is not there, or a run.
    """
    if files.named(reference, PartError).is_file():
        raise PartError(f"{reference}: found a file, needed the folder that holds it, or a hub id")
    folder = hub.locate(reference, revision)
    reference = _absolute(reference)
    if not hub.is_hub_id(reference):
        revision = None
    elif re.fullmatch(r"[0-9a-f]{40}", folder.name):  # the hub's cache names a snapshot by its commit
        revision = folder.name
    if (folder / _RUN).is_file():
        raise PartError(f"{reference}: found a run of modalink, needed a released checkpoint; it can be used as it is")
    return reference, revision, folder


def _absolute(reference: str) -> str:
    """A reference that is a folder, from wherever it is read."""
    if reference.startswith("zoo:") or hub.is_hub_id(reference):
        return reference
    return str(files.named(reference, PartError).resolve())


def read_source(reference: str, revision: str | None = None) -> Source:
    """A checkpoint, found; a hub id is pinned to the commit that it has now.

    Raises:
        PartError: It is not there, or no checkpoint of transformers.
    """
    reference, revision, folder = pinned(reference, revision)
    return Source(reference, revision, folder, hub.architecture(reference, revision), _processor(folder))


def family_of(source: Source) -> Family:
    """What is known of a checkpoint's architecture.

    Raises:
        UnknownNameError: Nothing is.
    """
    known = families()
    named = source.config.architectures or [_class_of(source.config)]
    if named[0] not in known:
        raise UnknownNameError("architecture", str(named[0]), known, source.reference)
    return known[named[0]]


def native(source: Source, family: Family) -> dict[str, torch.Size]:
    """Names and shapes of the weights of the class of transformers, once the checkpoint's files were held against it.

    Raises:
        PartError: The files lack weights, hold others, or have them in other shapes.
    """
    kind: type[PreTrainedModel] = getattr(transformers, family.architecture)
    held = hub.outline(source.reference, source.revision)
    with (
        hub.without_bars(),
        hub.foreign(PartError, f"{source.reference}: {kind.__name__} cannot be built by its configuration"),
    ):
        model, info = kind.from_pretrained(
            None, config=source.config, state_dict=held, device_map={"": "meta"}, output_loading_info=True,
            ignore_mismatched_sizes=True,
        )  # fmt: skip
    odd = sorted(info["mismatched_keys"])
    if odd:
        name, found, needed = odd[0]
        raise PartError(
            f"{source.reference}: {name} has the shape {tuple(found)}, needed {tuple(needed)} by its config.json"
            + (f"; so have {len(odd) - 1} more" if len(odd) > 1 else "")
        )
    hub.refuse(source.reference, kind, "lacks weights", info["missing_keys"], ())
    hub.refuse(source.reference, kind, "holds weights that it has no place for", info["unexpected_keys"], _NOT_WEIGHTS)
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def _class_of(config: PreTrainedConfig) -> str:
    with suppress(KeyError):
        return transformers.AutoModelForMultimodalLM._model_mapping[type(config)].__name__
    return type(config).__name__


def _processor(folder: Path) -> dict[str, Any]:
    """The settings of the processor, those of its image processor within, where versions before 5 have them apart."""
    found: dict[str, Any] = {}
    for file, key in (("preprocessor_config.json", "image_processor"), ("processor_config.json", None)):
        if (folder / file).is_file():
            said = json_files.read(folder / file, PartError, dict[str, Any])
            found |= said if key is None else {key: said}
    return found


def _template(source: Source, family: Family, parts: dict[str, Any]) -> tuple[str, str]:
    """The prompt template, and why it is this one."""
    tokenizer = PretrainedLlmConfig(**source.checkpoint).tokenizer()
    if not tokenizer.chat_template:
        return family.template, f"assumed: the tokenizer of {source.reference} has no chat template"
    media = [Medium(modality, "probe") for modality in parts["inputs"]]
    asked = Conversation((Turn("user", (*media, Text("What is this?"))),), source.reference)
    try:
        prompts.get("llm", tokenizer).render(asked, lambda _, medium: modalities.get(medium.modality).placeholder)
    except PromptError as error:
        return family.template, f"assumed: {str(error)[:200]}"
    return "llm", f"code: the chat template of {source.reference}"


def _name(reference: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(reference).name).lstrip("._-")[:100] or "imported"
