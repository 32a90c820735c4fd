"""Pre-flight: everything that can be known about a recipe's training without training it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, cast

import torch

from modalink import prompts
from modalink.encoders import verdict_on
from modalink.errors import ModalinkError, PartError
from modalink.llms import bytes_of, fit_of, remarks, why_not
from modalink.model import IGNORED, ModalinkForConditionalGeneration, System, compose, skeleton
from modalink.model.groups import divided, table
from modalink.model.sized import layouts, sized
from modalink.planning.evaluated import evaluated
from modalink.planning.machine import machine
from modalink.planning.rehearsal import rehearse
from modalink.planning.sample import first_prepared, head, marked, opened
from modalink.recipe import Init, Recipe, Stage
from modalink.recipe.groups import Group
from modalink.runs.saved_weights import find
from modalink.training.weights import beginnings, initialise


@dataclass(frozen=True)
class Finding:
    """One thing that was examined.

    Args:
        topic: `machine`, `weights`, `parts`, `llm`, `join`, `widths`, `tried`, `prompt`, `init`, or of a stage
            `init STAGE`, `data STAGE`, `sample STAGE`, `batch STAGE`, `evaluation STAGE`.
        status: Whether training can go on with it as it is.
        lines: What was found.
    """

    topic: str
    status: Literal["ok", "warning", "failed"]
    lines: tuple[str, ...]


def examine(recipe: Recipe, *, device: torch.device | str = "cpu", processes: int = 1) -> Iterator[Finding]:
    """Examine a recipe, topic by topic, in the order in which training would need them.

    Args:
        recipe: What to examine.
        device: Where the rehearsal of a step runs.
        processes: How many processes of this machine will train.
    """
    yield from _guarded("machine", machine(recipe, torch.device(device), processes))
    system: System | None = None
    try:
        system = compose(recipe, seed=recipe.seed)
        model, status = system.model, Finding("weights", "ok", ("all parts loaded with their weights",))
    except PartError as error:
        try:
            model = skeleton(recipe)
        except ModalinkError as worse:
            yield Finding("parts", "failed", (str(worse),))
            return
        status = Finding("weights", "warning", (str(error), "examined without weights: no sample, no batch"))
    except ModalinkError as error:
        yield Finding("parts", "failed", (str(error),))
        return
    yield status
    yield Finding("parts", "ok", tuple(_parts(recipe, model, system)))
    llm = model.language_model
    yield Finding("llm", "failed" if fit_of(llm).verdict == "refused" else "ok", tuple(remarks(llm, always=True)))
    yield from _guarded("join", _join(recipe, model))
    yield from _guarded("widths", _widths(recipe, model))
    yield from _guarded("tried", _tried(recipe))
    yield from _guarded("prompt", _prompt(recipe, system))
    yield from _init("init", recipe.init, system)
    for stage in recipe.stages:
        yield from _stage(recipe, stage, system, torch.device(device))


def _init(topic: str, init: Init | None, system: System | None, *, takes: bool = True) -> Iterator[Finding]:
    """What another run or an earlier stage lends, as training will put it into the system, if the system takes it."""
    if init is not None:
        yield from _guarded(topic, _borrowed(init, system, takes=takes))


def _borrowed(init: Init, system: System | None, *, takes: bool) -> Iterator[str]:
    groups = "all that they hold" if init.groups is None else ", ".join(init.groups)
    if init.source is None:
        yield f"as the stage {init.stage} will leave it: {'all' if init.groups is None else groups}"
        return
    warnings: list[str] = []
    saved = find(init, warnings.append)
    yield from (f"warning: {text}" for text in warnings)
    if system is not None and takes:
        initialise(system.model, saved)
    elif system is not None:
        beginnings(system.model, saved)
    yield f"weights from {', '.join(map(str, saved.paths))}: {groups}"


def _stage(recipe: Recipe, stage: Stage, system: System | None, device: torch.device) -> Iterator[Finding]:
    found = list(_guarded(f"data {stage.name}", _data(stage)))
    yield from found
    yield from _init(f"init {stage.name}", stage.init, system)
    if (critic := stage.of_critic()) is not None:
        yield from _init(f"critic_init {stage.name}", critic.init, system, takes=False)
    if stage.evaluate is not None:
        yield from _guarded(f"evaluation {stage.name}", evaluated(stage.evaluate, recipe))
    if system is not None and all(finding.status != "failed" for finding in found):
        for topic, examine_it in (("sample", _sample), ("batch", rehearse)):
            yield from _guarded(
                f"{topic} {stage.name}", _at_its_size(stage, system, examine_it(recipe, stage, system, device))
            )


def _at_its_size(stage: Stage, system: System, lines: Iterator[str]) -> Iterator[str]:
    """What is found while the system reads images as in the stage."""
    with sized(system, stage.image_size):
        yield from lines


def _guarded(topic: str, lines: Iterator[str]) -> Iterator[Finding]:
    """The lines as a finding; a line that begins with `warning: ` makes it one, an error ends it."""
    done: list[str] = []
    try:
        for line in lines:
            done.append(line)
    except ModalinkError as error:
        yield Finding(topic, "failed", (*done, str(error)))
        return
    warned = any(line.startswith("warning: ") for line in done)
    yield Finding(topic, "warning" if warned else "ok", tuple(done))


def _parts(recipe: Recipe, model: ModalinkForConditionalGeneration, system: System | None) -> Iterator[str]:
    generators = system.generators if system is not None else {}
    named = {group for stage in recipe.stages for group in stage.train}
    rows = table(divided(model.trainable_groups(), named), {}, generators)
    learning = {stage.name: [row for row in rows if Group(row.group).within(stage.train)] for stage in recipe.stages}
    for row in rows:
        stages = [name for name, own in learning.items() if row in own]
        trained = f"trained in {', '.join(stages)}" if stages else "frozen"
        yield f"{row.group:28}{row.parameters:>16,}{row.share:>9.2%}  {trained}"
    yield f"{'all':28}{sum(row.parameters for row in rows):>16,}"
    if (kind := recipe.llm.quantised) is not None:
        rounded, whole = (_mib(bytes_of(model.language_model, k, torch.bfloat16)) for k in (kind, None))
        yield f"the LLM's weights take {rounded} as {kind}, in the place of {whole} in bfloat16"
    for name, own in learning.items():
        count, share = sum(row.parameters for row in own), sum(row.share for row in own)
        yield f"stage {name} trains {count:,} parameters, {share:.2%}"
    for stage in recipe.stages:
        if (critic := stage.of_critic()) is not None:
            copied = sum(row.parameters for row in rows if Group(row.group).within(critic.train))
            yield f"the critic of stage {stage.name} has {copied:,} parameters of its own"


def _mib(count: float) -> str:
    return f"{count / 2**20:,.1f} MiB"


def _join(recipe: Recipe, model: ModalinkForConditionalGeneration) -> Iterator[str]:
    """How media meet the LLM, and whether its family can carry that."""
    llm, join = model.language_model, recipe.join
    if reason := why_not(llm, join):
        raise PartError(f"{type(llm).__name__} cannot carry the join {join.kind!r}: {reason}")
    carried = f", which {type(llm).__name__} carries (tried at small size)" if join.in_layers else ""
    count = sum(parameter.numel() for parameter in model.model.join.parameters())
    yield f"{join.kind}{carried}" + (f": {count:,} parameters of its own" if count else "")


def _widths(recipe: Recipe, model: ModalinkForConditionalGeneration) -> Iterator[str]:
    width = cast(int, model.get_input_embeddings().embedding_dim)
    read = recipe.join.prompt_width(width)
    for modality in recipe.inputs:
        encoder, config = model.model.encoder(modality), recipe.encoder(modality)
        seen = encoder.layout(config.typical())
        prompt = recipe.projector(modality).layout(seen)
        yield (f"{modality} in: encoder {seen.tokens} x {encoder.dim}, projector {prompt.tokens} x {read}, LLM {width}")
    for stage in recipe.stages:
        for modality, (seen, prompt) in layouts(recipe, stage.image_size).items():
            side = f"{stage.image_size[recipe.encoder_owners[modality]]} px"
            yield f"{modality} in, stage {stage.name}, {side}: encoder {seen.tokens}, projector {prompt.tokens}"
    for modality, output in recipe.outputs.items():
        shapes = output.generator.condition_shapes()
        made = ", ".join(str(shape) if len(shapes) == 1 else f"{name} {shape}" for name, shape in shapes.items())
        if output.signal_tokens == 0:
            yield f"{modality} out: the words of each reply, generator {made}"
            continue
        reader = model.reader(modality)
        states = f"{output.signal_tokens} signal tokens" if not reader.reads_prompt else f"{reader.count} prompt states"
        whose = "projector" if output.use is None else f"projector of {output.use}"
        yield f"{modality} out: {states} x {width}, {whose} {made}, generator {made}"


def _tried(recipe: Recipe) -> Iterator[str]:
    """What came of trying parts at small size with random weights; what was refused is no part of a system."""
    for modality, owner in recipe.encoder_owners.items():
        config = recipe.encoder(modality)
        if modality != owner and config == recipe.encoder(owner):
            continue  # it reads both alike
        found = verdict_on(config)
        part = Group.encoder(owner) + (f", for {modality}" if modality != owner else "")
        if found.verdict == "right":
            read = ", ".join(f"{name} {value}" for name, value in found.facts.items() if value)
            yield f"{part}: does at small size what it publishes" + (f" (read as: {read})" if read else "")
        else:
            yield f"warning: {part}: {found.verdict}, {found.reason}"


def _prompt(recipe: Recipe, system: System | None) -> Iterator[str]:
    chosen = recipe.prompt.template
    if system is None and chosen == "llm":
        yield "template llm: the LLM's own, which needs its tokenizer"
        return
    template = system.processor.template if system is not None else prompts.get(chosen)
    yield f"template {chosen}, stop at {', '.join(map(repr, template.stop))}"


def _data(stage: Stage) -> Iterator[str]:
    for config in stage.data:
        yield from opened(config)


def _sample(recipe: Recipe, stage: Stage, system: System, device: torch.device) -> Iterator[str]:
    config = stage.data[0]
    prepare = partial(system.prepare, learning=True, max_tokens=stage.max_tokens, template=config.template)
    prepared = first_prepared(head(config).good, prepare)
    learned = sum(label != IGNORED for label in prepared.labels)
    yield f"{prepared.id}: {len(prepared.input_ids)} tokens, {learned} of them learned"
    yield marked(prepared, system.processor)
