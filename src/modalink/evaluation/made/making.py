"""Makes the media that a benchmark asks for, each from a seed of its own, and keeps them in files beside their rows."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from modalink import files, modalities, tensor_files
from modalink.errors import ModalinkError, OptionError
from modalink.evaluation.answer_file import AnswerFile
from modalink.evaluation.dataset import Dataset
from modalink.evaluation.question import PreparedQuestion
from modalink.evaluation.replies import surplus
from modalink.inference import Completion, Engine, Request, Sampling
from modalink.inference.making import sample
from modalink.model import System
from modalink.roles import Conditions
from modalink.scoring.benchmark import MadeOptions, Question
from modalink.scoring.made_media import MEDIA, MadeMedium

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class MediaRequest:
    """One medium to be made.

    Args:
        id: Its own.
        question: What asks for it; its text is what shall be made.
        asked: The words that the system is asked with.
        stem: Name of its file, without suffix.
        seed: Seed of the reply and of the medium.
    """

    id: str
    question: Question
    asked: str
    stem: str
    seed: int


@dataclass(frozen=True)
class _Missing:
    """Why a medium was not made."""

    why: str


def requests(dataset: Dataset, modality: str, limit: int | None = None) -> list[MediaRequest]:
    """What is asked of a system: the benchmark's captions in the words of the modality's record, or of the user.

    Args:
        dataset: The benchmark.
        modality: What is made.
        limit: How many prompts, from the first on; all by default.
    """
    options: MadeOptions = dataset.options
    words = modalities.get(modality).make[0]
    made = []
    for number, question in enumerate(dataset.questions[:limit]):
        told = words.format(modality=modality, caption=question.text)
        asked = dataset.prompt_of(question) if dataset.prompt else told
        for place in range(options.per_prompt):
            behind = f"-{place}" if options.per_prompt > 1 else ""
            digest = hashlib.sha256(f"{options.seed}/{question.id}/{place}".encode()).digest()
            seed = int.from_bytes(digest[:8], "big") >> 1
            made.append(MediaRequest(f"{question.id}{behind}", question, asked, f"{number:06d}{behind}", seed))
    return made


def make_all(
    system: System,
    wanted: Sequence[MediaRequest],
    modality: str,
    answers: AnswerFile,
    sampling: Sampling,
    *,
    batch: int = 16,
    on_progress: OnProgress = lambda done, number: None,
) -> None:
    """Make the media that are not there yet, a batch at a time; when a batch is over, it is on the disk.

    Args:
        system: The system; its model and generator stay on their devices.
        wanted: All media.
        modality: What they are.
        answers: Where rows are written; the media lie in a folder beside it.
        sampling: How replies are drawn and media made; each has its own seed.
        batch: How many are made together.
        on_progress: Hears how many are there, and of how many.

    Raises:
        GenerationError: The generator takes no such option.
    """
    system.model.eval()
    engine, waiting = Engine(system, batch=batch), [one for one in wanted if one.id not in answers.ids]
    done = len(wanted) - len(waiting)
    on_progress(done, len(wanted))
    for start in range(0, len(waiting), batch):
        together = waiting[start : start + batch]
        replies = engine.generate([_request(system, one, sampling) for one in together])
        media = _media(system, modality, together, replies, sampling)
        rows = [
            _kept(system, modality, one, reply, made, answers)
            for one, reply, made in zip(together, replies, media, strict=True)
        ]
        answers.add_rows(row.row() for row in rows)
        on_progress(done + start + len(together), len(wanted))


def _request(system: System, one: MediaRequest, sampling: Sampling) -> Request:
    prompt = system.prepare(PreparedQuestion(one.id, one.asked).conversation(), reply=True)
    return Request(prompt, sampling.replace(seed=one.seed), media=False)


def _media(
    system: System,
    modality: str,
    together: Sequence[MediaRequest],
    replies: Sequence[Completion],
    sampling: Sampling,
) -> list[Any]:
    """The first medium of each reply, or why there is none."""
    found: list[Any] = [_Missing(f"the reply asks for no {modality}")] * len(replies)
    asked = {place: reply.conditions.get(modality) for place, reply in enumerate(replies)}
    given = {place: next(iter(conditions)) for place, conditions in asked.items() if conditions is not None}
    for places in _alike(given):
        try:
            made = _sampled(system, modality, places, given, together, sampling)
        except ModalinkError:  # one of them cannot be made: which, and why
            made = [_alone(system, modality, place, given, together, sampling) for place in places]
        for place, medium in zip(places, made, strict=True):
            found[place] = medium
    return found


def _alike(given: dict[int, Conditions]) -> Iterator[list[int]]:
    """Places whose conditions have the same shapes, and go together."""
    shapes: dict[Any, list[int]] = {}
    for place, conditions in given.items():
        shapes.setdefault(tuple((name, *own.shape) for name, own in conditions.tensors.items()), []).append(place)
    yield from shapes.values()


def _sampled(
    system: System,
    modality: str,
    places: Sequence[int],
    given: dict[int, Conditions],
    together: Sequence[MediaRequest],
    sampling: Sampling,
) -> list[Any]:
    rngs = [torch.Generator().manual_seed(together[place].seed) for place in places]
    with torch.no_grad():
        return sample(system, modality, Conditions.cat([given[place] for place in places]), rngs, sampling)


def _alone(
    system: System,
    modality: str,
    place: int,
    given: dict[int, Conditions],
    together: Sequence[MediaRequest],
    sampling: Sampling,
) -> Any:
    try:
        return _sampled(system, modality, [place], given, together, sampling)[0]
    except ModalinkError as error:
        return _Missing(str(error))


def _kept(
    system: System, modality: str, one: MediaRequest, reply: Completion, made: Any, answers: AnswerFile
) -> MadeMedium:
    """The row of a medium, whose file is written before it."""
    missing, file = made.why if isinstance(made, _Missing) else "", ""
    if not missing:
        record = modalities.get(modality)
        file = f"{MEDIA}/{one.stem}{record.written}"
        try:
            with files.replacing(answers.folder / file) as beside:
                named = beside.with_name(f"{beside.name}{record.written}")
                record.write(made, named)
                named.replace(beside)
        except ModalinkError as error:
            missing, file = str(error), ""
    beyond, caption = surplus(system, modality, reply), one.question.text
    return MadeMedium(one.id, one.question.id, caption, one.asked, reply.text, file, missing, beyond, str(one.seed))


def check_makes(system: System, modality: str, title: str) -> None:
    """Refuse a system that does not make what a benchmark asks for.

    Raises:
        OptionError: It does not, or its generator was left out.
    """
    if modality not in system.spec.outputs:
        makes = " and ".join(system.spec.outputs) or "words alone"
        raise OptionError(
            f"{title}: it asks for {modality}, and the system makes {makes}; evaluate a run with outputs.{modality}"
        )
    if modality not in system.generators:
        raise OptionError(f"{title}: found no generator of {modality}, needed the run loaded with its generators")


def made_by(system: System, modality: str) -> str:
    """Hash of the weights of the generator of a modality."""
    return tensor_files.digest(system.generators[modality].state_dict())
