"""A source's samples made into instructions, what a language model said kept beside, so that it resumes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from modalink import files, json_files, modalities
from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.data.output import Output, Written, check_new, writing
from modalink.data.reading import in_order
from modalink.data.source import SourceConfig
from modalink.data.writer import WriterConfig
from modalink.data_making.maker import AskingConfig, Known, MakerConfig
from modalink.errors import DataError, MediumError, OptionError, SampleError, reason_of
from modalink.inference import Session
from modalink.scoring.judge_model import Endpoint, JudgeModel, Request, Verdict, hash_of

_TOGETHER = 32


@dataclass(frozen=True)
class OwnRun(Endpoint):
    """A trained system in the place of an address."""

    session: Session | None = None

    def ask(self, request: Request) -> Verdict:
        """Its reply."""
        assert self.session is not None
        seen = [Medium("image", url) for url in request.pictures if "image" in self.session.reads]
        asked = Conversation((Turn("user", (*seen, Text(request.prompt))),), request.id)
        answer = self.session.chat(
            asked, max_new_tokens=request.max_tokens, temperature=request.temperature, seed=request.attempt
        )
        return Verdict(request.id, answer.text, request.run, request.attempt, self.model)


@dataclass(frozen=True)
class MadeOf(Written):
    """What became of a source, in conversations.

    Args:
        samples: Records that were read.
    """

    samples: int


@dataclass(frozen=True)
class _Group:
    """Samples that make one conversation."""

    number: int
    known: tuple[Known, ...]


def replies_of(path: Path) -> Path:
    """Where what the language model said is kept: `made.replies` beside `made.jsonl`."""
    return path.with_suffix(".replies")


def make(
    config: SourceConfig,
    maker: MakerConfig,
    endpoint: Endpoint | None,
    writer: WriterConfig,
    out: Path,
    *,
    ledger: Path | None = None,
    retries: int = 2,
    workers: int = 8,
    limit: int | None = None,
    on_sample: Callable[[int], None] = lambda count: None,
) -> MadeOf:
    """Make instructions; a wrong reply is asked for again, and in the end stands in the ledger.

    Args:
        config: The source, whose samples tell what media show.
        maker: What is made.
        endpoint: The language model; None for a maker that asks none.
        writer: The format of the file.
        out: The file.
        ledger: Takes what is left out; by default beside the file.
        retries: How often a reply is asked for again.
        workers: How many are asked for at a time.
        limit: How many records at most.
        on_sample: Told how many records were read.

    Raises:
        DataError: The source cannot be opened, or the language model does not answer.
        OptionError: The file is there already, or the maker needs a language model.
        OSError: It cannot be written.
    """
    check_new(out)
    if maker.asks and endpoint is None:
        raise OptionError(f"the maker {maker.kind} asks a language model: --endpoint URL --model NAME, or --run RUN")
    model = _model(endpoint, replies_of(out)) if maker.asks else None
    count = 0
    with writing(out, writer, ledger) as output:
        groups = _groups(config, maker, limit, output)
        while chunk := list(islice(groups, _TOGETHER)):
            _make(chunk, maker, model, output, retries, 1 if isinstance(endpoint, OwnRun) else workers)
            count = chunk[-1].number + len(chunk[-1].known)
            on_sample(count)
        return MadeOf(**vars(output.result()), samples=count)


def _model(endpoint: Endpoint | None, record: Path) -> JudgeModel:
    record.parent.mkdir(parents=True, exist_ok=True)
    files.cut_torn_line(record)
    model = JudgeModel(endpoint, record)
    remedy = "delete it, and start again"
    for line in json_files.lines(record, DataError, dict[str, Any], remedy=remedy):
        model.add([Verdict(str(line.get("id")), str(line.get("reply")), 0, int(line.get("attempt", 0)))])
    return model


def _groups(config: SourceConfig, maker: MakerConfig, limit: int | None, output: Output) -> Iterator[_Group]:
    waiting: list[Known] = []
    first = 0
    for number, found in enumerate(in_order(config, limit)):
        if not isinstance(found, Conversation):
            output.refuse(number, found)
            continue
        first = number if not waiting else first
        waiting.append(Known.of(found))
        if len(waiting) == maker.together:
            yield _Group(first, tuple(waiting))
            waiting = []
    for one in waiting:
        detail = f"is one of the last {len(waiting)}, and {maker.together} make a conversation"
        output.leave_out(first, one.id, "too_few", detail)


def _make(
    groups: Sequence[_Group], maker: MakerConfig, model: JudgeModel | None, output: Output, retries: int, workers: int
) -> None:
    """Ask about some groups until each has a reply that is right, or was asked often enough."""
    waiting, wrong = list(groups), dict[int, DataError]()
    asked_model = model.endpoint.model if model is not None and model.endpoint is not None else ""
    for attempt in range(retries + 1):
        requests: dict[int, Request] = {}
        for group in waiting:
            try:
                if isinstance(maker, AskingConfig):
                    requests[group.number] = _request(group, maker, attempt, asked_model)
            except (SampleError, MediumError) as error:
                _leave_out(group, error, output)
        asked = [group for group in waiting if not maker.asks or group.number in requests]
        replies = model.ask([*requests.values()], workers) if model is not None else [""] * len(asked)
        waiting = []
        for group, reply in zip(asked, replies, strict=True):
            try:
                made = maker.read(reply or "", group.known)
            except SampleError as error:
                wrong[group.number] = error
                waiting += [group] if maker.asks else []
                if not maker.asks:
                    _leave_out(group, error, output)
                continue
            for conversation in made:
                output.add(group.number, conversation)
        if not waiting:
            return
    for group in waiting:
        _leave_out(group, wrong[group.number], output)


def _request(group: _Group, maker: AskingConfig, attempt: int, model: str) -> Request:
    prompt = maker.prompt(group.known)
    media = [medium for one in group.known for medium in one.media] if maker.shows else []
    seen = [m for m in media if modalities.get(m.modality).fits({"image"})]
    return Request(
        id=f"{group.known[0].id}/{maker.kind}/{hash_of(f'{model} {prompt}')}",
        prompt=prompt,
        attempt=attempt,
        temperature=maker.temperature,
        max_tokens=maker.max_tokens,
        pictures=tuple(modalities.preview(m.modality, m.source).url for m in seen),
    )


def _leave_out(group: _Group, error: DataError, output: Output) -> None:
    name, reason = reason_of(error, group.known[0].id)
    output.leave_out(group.number, group.known[0].id, reason, str(error).removeprefix(f"{name}: "))
