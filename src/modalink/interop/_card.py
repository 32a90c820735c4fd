"""The model card of an export: what it is made of, how it was trained and measured, as the run's own files say it."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from modalink import files, hub
from modalink.model import System
from modalink.model.references import references
from modalink.runs.facts import RunFacts, StageFacts
from modalink.runs.manifest import PERMISSIVE, licence_verdict

_UNSAID = "Nothing of this is in the run."
_UNMEASURED = ("seed", "seconds", "skipped", "limit")
"""What stands beside numbers that were measured."""


def card(name: str, system: System, facts: RunFacts | None, folder: Path, usage: str) -> str:
    """The text of `README.md`.

    Args:
        name: What the model is called.
        system: What was exported.
        facts: What the run tells of itself; None for a saved system without a run.
        folder: What was written.
        usage: How it is loaded, as Markdown.
    """
    parts = parts_of(system, facts)
    sections = {
        "": f"# {name}\n\n{_summary(system)}",
        "Use": usage,
        "Parts": _parts(parts),
        "Licences": _licences(parts),
        "Training": _training(facts),
        "Evaluation": _evaluation(facts),
        "Files": _files(folder),
    }
    body = "\n\n".join(f"## {title}\n\n{text}" if title else text for title, text in sections.items())
    return f"---\n{_front_matter(system, parts)}---\n\n{body}\n"


def parts_of(system: System, facts: RunFacts | None) -> list[dict[str, Any]]:
    """The parts with identity and licence: as the manifest has them, or, without one, as their checkpoints say."""
    if facts is not None and facts.manifest.get("parts"):
        return [dict(part) for part in facts.manifest["parts"]]
    return [{"part": str(group)} | asdict(hub.identity_of(part)) for group, part in references(system.spec).items()]


def _front_matter(system: System, parts: Iterable[Mapping[str, Any]]) -> str:
    licences = {part["licence"].lower() for part in parts if part.get("licence")}
    (only, *others) = sorted(licences) or ["unknown"]
    matter: dict[str, Any] = {"library_name": "transformers"}
    if "image" in system.spec.inputs and not system.spec.outputs:
        matter["pipeline_tag"] = "image-text-to-text"
    # Only one licence that allows any use can be that of the whole; all else must be read.
    alone = not others and only in PERMISSIVE
    matter |= {"license": only} if alone else {"license": "other", "license_name": "see-the-section-licences"}
    bases = dict.fromkeys(
        p["id"] for p in parts if p.get("id") and hub.BESIDE not in p["id"] and hub.is_hub_id(p["id"])
    )
    matter |= {"base_model": [*bases]} if bases else {}
    matter["tags"] = ["modalink", "multimodal", *system.spec.inputs]
    return yaml.safe_dump(matter, sort_keys=False, allow_unicode=True)


def _summary(system: System) -> str:
    spec = system.spec
    chains = [
        f"{modality}: encoder `{_shown(_checkpoint(spec.encoders()[spec.encoder_owners[modality]]))}`, projector "
        f"`{spec.projector(modality).kind}`"
        for modality in spec.inputs
    ]
    made = [f"{modality}: generator `{_shown(out.generator.checkpoint)}`" for modality, out in spec.outputs.items()]
    lines = [*(f"reads {chain}" for chain in chains), f"thinks with `{_shown(spec.llm.checkpoint)}`"]
    lines += [f"makes {one}" for one in made]
    return "A multimodal language model made with modalink:\n\n" + "\n".join(f"- {line}" for line in lines)


def _checkpoint(part: Any) -> str:
    return hub.BESIDE.join(reference for reference, _ in part.checkpoints()) or str(part.kind)


def _shown(reference: str) -> str:
    """A reference as strangers may read it: of a folder its name alone."""
    each = reference.split(hub.BESIDE)
    return hub.BESIDE.join(one if one.startswith("zoo:") or hub.is_hub_id(one) else Path(one).name for one in each)


def _parts(parts: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        (
            part["part"],
            _shown(part["id"]) if part.get("id") else part.get("kind") or "",
            (part.get("revision") or "")[:12],
            (part.get("sha256") or "")[:12],
            part.get("licence") or "",
            f"{part['parameters']:,}" if part.get("parameters") else "",
        )
        for part in parts
    ]
    return _table(("part", "from", "revision", "sha256", "licence", "parameters"), rows)


def _licences(parts: Iterable[Mapping[str, Any]]) -> str:
    verdict = licence_verdict([dict(part) | ({"id": _shown(part["id"])} if part.get("id") else {}) for part in parts])
    return verdict[:1].upper() + verdict[1:] + "."


def _training(facts: RunFacts | None) -> str:
    if facts is None or not facts.stages:
        return _UNSAID
    return _table(
        ("stage", "trains", "minimises", "data", "steps", "conversations"), [_stage(stage) for stage in facts.stages]
    )


def _stage(stage: StageFacts) -> tuple[str, ...]:
    recipe = stage.recipe
    sources = [
        " ".join(str(word) for word in (one.get("source"), one.get("path") and Path(one["path"]).name) if word)
        for one in recipe.get("data", [])
    ]
    return (
        stage.name,
        ", ".join(recipe.get("train", {})),
        ", ".join(objective["kind"] for objective in recipe.get("objectives", [])),
        ", ".join(dict.fromkeys(sources)),
        f"{stage.records[-1]['step']:,}" if stage.records else "not begun",
        f"{stage.samples:,}",
    )


def _evaluation(facts: RunFacts | None) -> str:
    rows = [
        row
        for benchmark, found in ({} if facts is None else facts.results).items()
        for row in _results(benchmark, found)
    ]
    return _table(("benchmark", "number", "value", "of"), rows) if rows else _UNSAID


def _results(benchmark: str, found: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    """The numbers of a benchmark as a whole; those of its kinds of questions stay in the run."""
    counts = found.get("counts")
    for name, value in found.items():
        if isinstance(value, int | float) and not isinstance(value, bool) and name not in _UNMEASURED:
            count = counts.get(name) if isinstance(counts, Mapping) else None
            yield benchmark, name, f"{value:.4g}", f"{count:,}" if isinstance(count, int) else ""


def _files(folder: Path) -> str:
    weights = sorted(path for path in folder.rglob("*.safetensors"))
    return _table(("file", "sha256"), [(str(path.relative_to(folder)), files.sha256(path)) for path in weights])


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = (" | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) for row in rows)
    rule = " | ".join("---" for _ in heads)
    return "\n".join(f"| {line} |" for line in (" | ".join(heads), rule, *lines))
