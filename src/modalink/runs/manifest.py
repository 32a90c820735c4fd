"""Where a run comes from: its parts with hashes and licences, what each stage trains, and the software it ran on."""

import json
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from modalink.environment import PACKAGES, versions
from modalink.errors import CheckpointError
from modalink.hub import identity, identity_of
from modalink.model import System
from modalink.model.groups import divided, table
from modalink.recipe import Recipe
from modalink.recipe.groups import JOIN, Group
from modalink.roles import PartConfig
from modalink.runs.facts import read_manifest
from modalink.runs.folder import differences, write_text

PERMISSIVE = {"apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "unlicense", "isc"}


def manifest(recipe: Recipe, system: System, device: torch.device, processes: int = 1) -> dict[str, Any]:
    """The content of a run's `manifest.json`.

    Raises:
        PartError: A part's checkpoint is not where it was loaded from.
    """
    parts = list(_parts(recipe, system))
    # The same rows for all stages, whichever sections each of them names.
    groups = divided(system.model.trainable_groups(), {group for stage in recipe.stages for group in stage.train})
    rows = {stage.name: table(groups, stage.train, system.generators) for stage in recipe.stages}
    return {
        "name": recipe.name,
        "parts": parts,
        "licence": licence_verdict(parts),
        "stages": {name: [asdict(row) for row in own] for name, own in rows.items()},
        "environment": environment(device, processes),
    }


def write_manifest(path: Path, content: dict[str, Any]) -> None:
    """Write a run's manifest; one that is there already must speak of the same weights.

    Raises:
        CheckpointError: A part's weights have changed since the run began, or the file cannot be written.
    """
    before = read_manifest(path) or content
    hashes = [{part["part"]: part.get("sha256") for part in parts} for parts in (before["parts"], content["parts"])]
    was, now = before.get("lineage", []), content.get("lineage", [])
    if [source["sha256"] for source in was] != [source["sha256"] for source in now]:
        places = ", ".join(str(source.get("from")) for source in now or was)
        raise CheckpointError(
            f"{path.parent}: the weights in {places} are not those that the run began from; restore them, or choose "
            "another run folder"
        )
    if changed := sorted(differences(hashes[0], hashes[1])):
        raise CheckpointError(
            f"{path.parent}: the weights of {', '.join(changed)} are not those that the run began with; "
            "restore them, or choose another run folder"
        )
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def device_name(device: torch.device) -> str:
    """What a device is called."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def environment(device: torch.device, processes: int) -> dict[str, Any]:
    """Versions and hardware."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "processes": processes,
        "packages": versions(("modalink", *PACKAGES)),
    }


def licence_verdict(parts: Sequence[dict[str, Any]]) -> str:
    """In one line, what the licences of all parts mean for the whole; no legal advice, but what to look at."""
    borrowed = [part for part in parts if part.get("licence") is not None]
    unclear = [f"{p['part']} ({p['id']}): {p['licence']}" for p in borrowed if p["licence"].lower() not in PERMISSIVE]
    if not unclear:
        return "permissive: all parts have licences that allow any use"
    return f"read before use or release: {'; '.join(unclear)}"


def _parts(recipe: Recipe, system: System) -> Iterable[dict[str, Any]]:
    rows = table(system.model.trainable_groups(), {}, system.generators)
    counts = {row.group: row.parameters for row in rows}
    for modality, chosen in recipe.inputs.items():
        if chosen.encoder is not None:
            yield _part(Group.encoder(modality), chosen.encoder, counts)
            if (lora := Group.encoder_lora(modality)) in counts:
                yield {"part": lora, "parameters": counts[lora]}
        if chosen.projector is None:
            continue
        projector = Group.input_projector(modality)
        yield _part(projector, chosen.projector, counts)
        for section, source in chosen.projector.borrowed().items():
            yield {"part": projector.inside(section), **asdict(identity_of(source))}
    yield _part("llm", recipe.llm, counts)
    if JOIN in counts:
        found = recipe.join.reference
        yield _part(JOIN, recipe.join, counts) | ({} if found is None else asdict(identity_of(found)))
    for group in ("llm.lora", "llm.peft", "llm.new_tokens"):
        if group in counts:
            trained = _of_adapters(recipe) if group == "llm.lora" else {}
            yield {"part": group, "parameters": counts[group]} | trained
    for modality, made in recipe.outputs.items():
        projector = Group.output_projector(modality)
        if made.links:
            yield {"part": projector, "kind": made.link_kinds, "parameters": counts.get(projector, 0)}
        yield _part(Group.generator(modality), made.generator, counts)
        for group in (Group.denoiser(modality), Group.denoiser_lora(modality)):
            if group in counts:
                yield {"part": group, "parameters": counts[group]}
    yield from _of_index(system)


def _of_index(system: System) -> Iterable[dict[str, Any]]:
    if system.retrieving is not None:
        retriever = system.retrieving.spec.retriever
        kept = {"id": retriever.index, "sha256": system.retrieving.retriever.sha256}
        yield {"part": "retrieval.retriever", "kind": retriever.kind} | kept
        if (towers := getattr(retriever, "checkpoint", None)) is not None:
            yield {"part": "retrieval.retriever.checkpoint", **asdict(identity(towers))}


def _of_adapters(recipe: Recipe) -> dict[str, Any]:
    """Who the adapters are that an LLM got from a checkpoint."""
    adapters = getattr(recipe.llm, "adapters", None)
    checkpoint = getattr(adapters, "checkpoint", None)
    return {} if checkpoint is None else asdict(identity(checkpoint, getattr(adapters, "revision", None)))


def _part(name: str, config: Any, counts: dict[str, int]) -> dict[str, Any]:
    found = {"part": name, "kind": config.kind, "parameters": counts.get(name, 0)}
    return found | asdict(identity_of(config)) if isinstance(config, PartConfig) else found
