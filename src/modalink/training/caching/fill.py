"""Gives out the blocks of a recipe's stages, and counts what comes back."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal
from uuid import uuid4

import torch

from modalink.errors import OptionError, UnknownNameError
from modalink.model.device import use
from modalink.recipe import Recipe
from modalink.runs.ledger import Ledger
from modalink.settings import RunSettings, run_settings
from modalink.training.caching.engines import Engine, Here, Processes
from modalink.training.caching.plan import StagePlan, plans
from modalink.training.caching.samples import StageSamples
from modalink.training.caching.work import Block, Done, Job, Kept, Left
from modalink.training.weights import find_lent

_SAMPLES = 32
"""Samples of a block: what is done again where a process ends early."""


@dataclass
class PartTotals:
    """What one part has, or would have, in the cache for a stage."""

    items: int = 0
    tokens: int = 0
    size: int = 0
    """Bytes on disk."""
    computed: int = 0
    """Of the items; the others were there."""
    computed_size: int = 0

    def add(self, kept: Kept, computed: bool) -> None:
        """Count one more."""
        self.items += 1
        self.tokens += kept.tokens
        self.size += kept.size
        self.computed += computed
        self.computed_size += kept.size * computed


@dataclass
class StageTotals:
    """What came of a stage.

    Args:
        stage: Its name.
        samples: How many it learns from, bad ones among them.
        ledger: Where its bad samples stand; None where there are none.
        notes: What cannot be known ahead.
        done: How many samples are done.
        parts: What each part has in the cache.
        left: Bad samples by reason.
        refusal: Why the cache took not all; empty where it did.
    """

    stage: str
    samples: int = 0
    ledger: Path | None = None
    notes: tuple[str, ...] = ()
    done: int = 0
    parts: dict[str, PartTotals] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    refusal: str = ""

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(part.size for part in self.parts.values())


OnProgress = Callable[[StageTotals], None]
OnDone = Callable[[Done], None]
EngineName = Literal["local", "ray"]


def fill(
    recipe: Recipe,
    *,
    stages: Sequence[str] | None = None,
    settings: RunSettings | None = None,
    workers: int | None = None,
    engine: EngineName = "local",
    dry: bool = False,
    ledgers: Path | None = None,
    on_progress: OnProgress = lambda totals: None,
    on_done: OnDone = lambda done: None,
) -> list[StageTotals]:
    """Put into the cache what the stages of a recipe will ask of frozen parts; what is there already stays.

    Args:
        recipe: The parts and the stages.
        stages: Names of the stages; by default all.
        settings: What it may use of the machine, the same that training will use.
        workers: Processes; by default one for each accelerator, or one.
        engine: `local`: on this machine; `ray`: on a Ray cluster.
        dry: Only weigh what would be kept.
        ledgers: Folder of the ledgers of bad samples, one a stage; by default one beside what is kept.
        on_progress: Hears of each stage's totals while they grow, and when they are complete.
        on_done: Hears of each block.

    Returns:
        The totals of each stage.

    Raises:
        OptionError: The settings name no folder, or one that cannot be made.
        UnknownNameError: The recipe has no stage of a name.
        ProcessesFailed: A sample cannot be done.
    """
    settings = run_settings() if settings is None else settings
    known = [stage.name for stage in recipe.stages]
    if unknown := [name for name in stages or () if name not in known]:
        raise UnknownNameError("stage", unknown[0], known)
    folder, device = _folder(settings), use(settings)
    settings = settings.replace(device=settings.device or device.type, threads=torch.get_num_threads())
    chosen = plans(recipe, find_lent(recipe, lambda text: None), device)
    ledgers = folder / "ledgers" / recipe.name if ledgers is None else ledgers
    found: list[StageTotals] = []
    met: set[int] = set()
    with _engine(Job(recipe, settings, dry), folder, device, workers, engine) as running:
        for plan in chosen:
            if plan.stage.name in (stages or known):
                ledger = None if dry else ledgers / plan.name / "ledger.jsonl"
                counting = _Counting(plan, recipe.seed, ledger, met, (on_progress, on_done))
                found.append(counting.run(running))
                met |= counting.met
                if found[-1].refusal:
                    break
    return found


class _Counting:
    """Does one stage by an engine, and counts each item once.

    Args:
        plan: What is asked of frozen parts.
        seed: The recipe's seed.
        ledger: Where bad samples are written down.
        before: The items of the stages before, by the hash of their name.
        heard: Who hears of it.
    """

    def __init__(
        self,
        plan: StagePlan,
        seed: int,
        ledger: Path | None,
        before: set[int],
        heard: tuple[OnProgress, OnDone],
    ) -> None:
        self.plan, self.seed = plan, seed
        self.totals = StageTotals(plan.name, notes=plan.notes)
        self.heard = heard
        self.ledger_path = ledger
        self._ledger: Ledger | None = None
        self.met: set[int] = set()
        self._before = before
        self._machines: set[str] = set()

    def run(self, engine: Engine) -> StageTotals:
        """The totals when all is done."""
        totals, given = self.totals, 0
        if self.ledger_path is not None:
            self.ledger_path.unlink(missing_ok=True)
        samples = StageSamples(self.plan, self.seed) if self.plan.reads or self.plan.makes else None
        # What stands in the place of bad samples is met only when these are known.
        while samples is not None and given < (total := samples.count(sum(totals.left.values()))):
            totals.samples = total
            for done in engine.results(self._blocks(given, total)):
                self._add(done)
            given = total
        self.heard[0](totals)
        return totals

    def _blocks(self, start: int, stop: int) -> Iterator[Block]:
        for first in range(start, stop, _SAMPLES):
            if self.totals.refusal:
                return
            yield Block(self.plan.name, first, min(first + _SAMPLES, stop))

    def _add(self, done: Done) -> None:
        totals = self.totals
        totals.done += done.block.stop - done.block.start
        totals.refusal = totals.refusal or done.refusal
        for kept in done.kept:
            name = hash(kept.name)
            if name not in self.met:
                self.met.add(name)
                totals.parts.setdefault(kept.part, PartTotals()).add(kept, kept.computed and name not in self._before)
        for left in done.left:
            totals.left[left.reason] = totals.left.get(left.reason, 0) + 1
            self._note(left)
        self._machines.add(done.machine)
        if len(self._machines) == 2:
            totals.notes += (
                "the processes compute on machines, or with numbers of threads, that differ; training finds what was "
                "computed as it computes",
            )
        self.heard[0](totals)
        self.heard[1](done)

    def _note(self, left: Left) -> None:
        if self.ledger_path is not None:
            self._ledger = self._ledger or Ledger(self.ledger_path)
            self.totals.ledger = self.ledger_path
            self._ledger.add(0, left.sample, left.reason, left.detail)


def _folder(settings: RunSettings) -> Path:
    """The folder of the settings' cache, made if it is not there."""
    folder = settings.cache
    if folder is None:
        raise OptionError("found the cache off, needed a folder that can be filled: give one by --cache")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "lock").touch()
    except OSError as error:
        raise OptionError(
            f"cache {folder}: found no folder that can be written ({error.strerror}); name another"
        ) from None
    return folder


@contextmanager
def _engine(job: Job, folder: Path, device: torch.device, workers: int | None, name: EngineName) -> Iterator[Engine]:
    if name == "ray":
        from modalink.training.caching.cluster import Cluster

        mark = folder / f".seen-{uuid4().hex}"
        mark.touch()
        try:
            with closing(Cluster(replace(job, mark=mark), workers)) as cluster:
                yield cluster
        finally:
            mark.unlink(missing_ok=True)
        return
    named = job.settings.device is not None and ":" in job.settings.device
    several = 1 if device.type == "cpu" or named else torch.accelerator.device_count()
    count = workers or several
    with closing(Here(job) if count == 1 else Processes(job, count)) as engine:
        yield engine
