"""Full batches of prepared samples, in an order that a seed fixes and that can be taken up exactly."""

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

from modalink.data.mixture import Rule, mix
from modalink.data.prefetch import Bad, Draw, Draws, Finish
from modalink.data.source import Source, SourceConfig, Stream
from modalink.errors import CheckpointError, DataError
from modalink.model.prepared import Prepared
from modalink.runs.ledger import Ledger

MAX_BAD_RUN = 1000
"""So many bad samples of one source in a row end the run: its folder or column is wrong, not its samples."""


@dataclass(frozen=True)
class _At:
    """Batches given out, and the cursor behind the last of them; one record, so that no interrupt parts the two."""

    step: int
    cursor: dict[str, Any]


class Loader:
    """Endless batches; which samples they hold depends on the seed and the data alone, never on threads or time.

    A bad sample is replaced by the next one of the order, so that every batch is full. Of several processes each reads
    its own share of the order and of the batch, and replaces a bad sample out of its share: none waits for another.

    Args:
        stage_data: Settings of the sources.
        mixture: How sources mix: `concatenate`, `ratio` (by their weights) or `sqrt` (of their sizes).
        seed: Decides the order.
        prepare: Makes a conversation ready, by several threads; called with `template=` where its source has its own,
            and with `seed=` where something is drawn.
        ledger: Gets a line for each sample left out or cut.
        on_bad_sample: `skip` a bad sample, or `fail`.
        batch: Samples a step, over all processes.
        workers: Threads that read and prepare ahead; 0 does it in place.
        rank: Number of this process.
        world: How many processes share each batch; divides it.
        draws: Whether something may be drawn of each sample's media, such as frames of a video.

    Raises:
        DataError: A source holds nothing.
        RecipeError: The sources cannot be mixed this way.
    """

    def __init__(
        self,
        stage_data: Sequence[SourceConfig],
        mixture: Rule,
        seed: int,
        prepare: Callable[..., Prepared],
        ledger: Ledger,
        on_bad_sample: Literal["skip", "fail"],
        batch: int,
        *,
        workers: int = 2,
        rank: int = 0,
        world: int = 1,
        draws: bool = False,
    ) -> None:
        sources = [config.open() for config in stage_data]
        self.configs, self.sources = stage_data, sources
        weights = [config.weight for config in stage_data]
        self._names = [config.name for config in stage_data]
        self._sizes = [size_of(source, name) for source, name in zip(sources, self._names, strict=True)]
        order = mix(mixture, self._sizes, weights, seed)
        self._share = batch // world
        drawing = seed if draws else None
        self._draws = Draws(stage_data, sources, order, prepare, workers, self._share + workers, rank, world, drawing)
        self.ledger = ledger
        self._on_bad_sample = on_bad_sample
        self._rank = rank
        self._world = world
        self._bad_runs: dict[int, list[Bad]] = {number: [] for number in range(len(sources))}
        self._at = _At(0, self._draws.cursor)
        self._identity = {
            "sources": [list(pair) for pair in zip(self._names, self._sizes, strict=True)],
            "mixture": mixture,
            "weights": weights,
            "seed": seed,
            "batch": batch,
        }

    @property
    def epoch_samples(self) -> int | None:
        """Samples of one epoch: all there are; None where a stream has no end."""
        known = [size for size in self._sizes if size is not None]
        return sum(known) if len(known) == len(self._sizes) else None

    def state_dict(self) -> dict[str, Any]:
        """The place behind the last batch given out, as JSON data.

        `cursors` holds this process's alone; a checkpoint needs those of all, in the order of their ranks.
        """
        return {"step": self._at.step, "cursors": [self._at.cursor], "data": self._identity}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a place; iteration begins there, and the ledger drops what lies behind it.

        Raises:
            CheckpointError: The place belongs to other data, seed, mixture or batch, where it would mean other samples.
        """
        then = state["data"]
        if changed := [key for key, value in self._identity.items() if then.get(key) != value]:
            found = "; ".join(f"{key}: found {self._identity[key]}, needed {then.get(key)}" for key in changed)
            raise CheckpointError(f"the data are not those of the checkpoint: {found}; restore them or start a new run")
        # Checkpoints of the first format have one cursor, for all processes.
        self._at = _At(state["step"], self._own(state["cursors"] if "cursors" in state else [state["cursor"]]))

    def _own(self, cursors: list[dict[str, Any]]) -> dict[str, Any]:
        if all(cursor == cursors[0] for cursor in cursors):
            return cursors[0]
        if len(cursors) != self._world:
            raise CheckpointError(
                f"the checkpoint's {len(cursors)} processes stand at different samples, found {self._world} processes; "
                f"go on with {len(cursors)}"
            )
        return cursors[self._rank]

    def __iter__(self) -> Iterator[list[Prepared]]:
        return self.batches()

    def batches(self, finish: Finish = Prepared.loaded) -> Generator[list[Prepared], None, None]:
        """Batches from the present place on.

        Args:
            finish: The last work on each sample, done by the threads that prepare: to load all its media, if not given.
        """
        self.ledger.truncate(self._at.step)
        with closing(self._draws.starting(self._at.cursor, finish)) as draws:
            batch: list[Prepared] = []
            for draw in draws:
                if isinstance(draw.result, Bad):
                    self._leave_out(draw.result, draw)
                    continue
                self._take(draw.result, draw)
                batch.append(draw.result)
                if len(batch) == self._share:
                    self._at = _At(self._at.step + 1, draw.cursor)
                    yield batch
                    batch = []

    def _take(self, prepared: Prepared, draw: Draw) -> None:
        self._bad_runs[draw.source].clear()
        if cut := sum(side.cut for side in prepared.sides):
            detail = f"{cut} text tokens cut at the maximum length"
            self.ledger.add(self._at.step, prepared.id, "text_cut", detail)

    def _leave_out(self, bad: Bad, draw: Draw) -> None:
        name, size = self._names[draw.source], self._sizes[draw.source]
        if self._on_bad_sample == "fail":
            raise DataError(f"{name}: sample {bad.sample} is bad ({bad.reason}): {bad.detail}") from bad.error
        self.ledger.add(self._at.step, bad.sample, bad.reason, bad.detail)
        run = self._bad_runs[draw.source]
        run.append(bad)
        # One good sample in an epoch interrupts every run of twice the others; a share may miss it for long.
        whole = self._world == 1 and size is not None and 2 * size - 1 <= MAX_BAD_RUN
        most = 2 * size - 1 if whole and size is not None else MAX_BAD_RUN
        if len(run) >= most:
            count = f"all its {size}" if whole else f"{most} in a row of its"
            last = f"the last was {bad.sample} ({bad.reason}): {bad.detail}"
            reasons = Counter({one.sample: one.reason for one in run}.values())  # each once, however often it came
            raise DataError(f"{name}: {count} samples are bad; {last}; by reason: {dict(reasons)}") from bad.error


def size_of(source: Source | Stream, name: str) -> int | None:
    """How many samples a source has; None for a stream.

    Raises:
        DataError: It has none.
    """
    if isinstance(source, Stream):
        return None
    if not len(source):
        raise DataError(f"{name}: looked for samples; found none")
    return len(source)
