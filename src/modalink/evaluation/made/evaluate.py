"""Evaluates a system on media that it makes: makes them, lets encoders look at them, and scores what these say.

    OUT/about.json, predictions.jsonl    who made them, and a row for each
        media/000000.png                 the media
        features/, detections-*/         what encoders and detectors say of them

Each step keeps what it has done, so that an interrupted evaluation resumes where it stopped.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modalink import files, modalities
from modalink.conversation import Content, Medium, Text
from modalink.errors import DataError, ModalinkError, OptionError
from modalink.evaluation.answer_file import AnswerFile
from modalink.evaluation.dataset import Dataset
from modalink.evaluation.examples import pieces
from modalink.evaluation.made import asking, detecting, extracting
from modalink.evaluation.made.making import OnProgress, check_makes, made_by, make_all, requests
from modalink.evaluation.media_files import media_files
from modalink.evaluation.runner import Evaluation, command, provenance
from modalink.inference import Sampling
from modalink.inference.making import check_options
from modalink.model import System
from modalink.roles import MediaOptions
from modalink.scoring.benchmark import MediaBenchmark
from modalink.scoring.benchmarks.geneval import GenEvalOptions
from modalink.scoring.benchmarks.made_media import CaptionedOptions
from modalink.scoring.made_media import MadeMedium, read_made
from modalink.scoring.score import score

SAMPLING = (*MediaOptions.model_fields, "negative", "temperature", "top_p", "max_media")
"""Options of a benchmark of made media that say how replies are drawn and media are made."""


@dataclass(frozen=True)
class Watching:
    """Who hears how far an evaluation is.

    Args:
        on_progress: How many media are made, and of how many.
        on_task: What is done with them then.
    """

    on_progress: OnProgress = lambda done, number: None
    on_task: Callable[[str], None] = lambda task: None


def split_options(given: dict[str, Any]) -> tuple[dict[str, Any], Sampling]:
    """Options of the benchmark, and those that say how replies and media are made.

    Raises:
        OptionError: One of the latter has a value that it cannot have.
    """
    told = {name: value for name, value in given.items() if name in SAMPLING}
    return {name: value for name, value in given.items() if name not in told}, Sampling.checked(**told)


def evaluate(
    system: System,
    dataset: Dataset,
    *,
    out: Path,
    sampling: Sampling | None = None,
    limit: int | None = None,
    batch: int = 16,
    max_new_tokens: int | None = None,
    partial: bool = False,
    examples: int = 0,
    against: Path | None = None,
    device: str = "cpu",
    watching: Watching | None = None,
) -> Evaluation:
    """Make a benchmark's media and score them; an interrupted evaluation is resumed, and no medium is made twice.

    Args:
        system: The model, its processor and generators.
        dataset: The benchmark, as `open_dataset` made it.
        out: Folder for the media and all that is said of them.
        sampling: How replies are drawn and media are made; each medium has its own seed.
        limit: Only the first prompts.
        batch: Media that are made together.
        max_new_tokens: Longest reply; the benchmark's own by default.
        partial: Do without real media whose files are missing.
        examples: How many of the first media are kept for the report.
        against: Another folder of results, to compare with.
        device: Where encoders and detectors compute.
        watching: Who hears how far it is.

    Raises:
        DataError: Files are missing or damaged, or `out` holds media of another system or of other prompts.
        OptionError: The system does not make such media, or an option is missing or has a wrong value.
        PartError: An encoder or detector cannot be loaded.
    """
    watching = watching or Watching()
    benchmark = dataset.benchmark
    assert isinstance(benchmark, MediaBenchmark)
    modality, longest = benchmark.setup.modality, max_new_tokens or benchmark.setup.max_new_tokens
    sampling = (sampling or Sampling()).replace(max_new_tokens=longest)
    _check(system, dataset, benchmark, sampling, limit, partial)
    wanted = requests(dataset, modality, limit)
    about = provenance(system, dataset, longest) | {
        "generator": made_by(system, modality),
        "words": wanted[0].asked,
        "per_prompt": dataset.options.per_prompt,
        "seed": dataset.options.seed,
        "sampling": {name: value for name, value in sampling.model_dump(mode="json").items() if name in SAMPLING},
    }
    with AnswerFile(out, about) as answers:
        make_all(system, wanted, modality, answers, sampling, batch=batch, on_progress=watching.on_progress)
    made = read_made(out)
    notes = _look(system, dataset, out, made, about["weights"], partial, batch, device, watching)
    report = score(dataset.name, out, dataset.annotations, dataset.given, against)
    report.notes.extend(notes)
    shown = [_example(one, out, modality) for one in made[:examples]]
    return Evaluation(out, report, [], command(dataset, out, dataset.given), shown)


def _check(
    system: System, dataset: Dataset, benchmark: MediaBenchmark, sampling: Sampling, limit: int | None, partial: bool
) -> None:
    """Find all that is needed before the first medium is made."""
    check_makes(system, benchmark.setup.modality, benchmark.title)
    check_options(system, sampling)
    options = dataset.options
    if not any(getattr(options, name) for name in benchmark.needs):
        which = "; ".join(f"--option {name}=CHECKPOINT for the {what}" for name, what in benchmark.needs.items())
        raise OptionError(f"{benchmark.title}: found nobody to look at the media, needed {which}")
    for name in {*benchmark.needs, "clip"}:
        if encoder := getattr(options, name, ""):
            extracting.identity(encoder)
    if isinstance(options, CaptionedOptions) and options.encoder:
        _real(dataset, dataset.questions[:limit], options.real, partial)
    if isinstance(options, GenEvalOptions):
        named = [item for question in dataset.questions for group in question.gold for item in group]
        detecting.Detector(options.detector).check(list(dict.fromkeys(item.name for item in named)))
        if not options.clip and any(item.colour for item in named):
            raise OptionError(
                "GenEval: prompts name colours, and nobody tells them; needed --option clip=CHECKPOINT, for example "
                "openai/clip-vit-large-patch14"
            )


def _real(dataset: Dataset, questions: Sequence[Any], given: Path | None, partial: bool) -> list[Path]:
    """The files of the real media: those of a folder that the user gave, else of the annotations; none of features."""
    if given is None:
        return dataset.real_media(questions, partial)
    path = files.named(given, OptionError)
    if path.is_dir():
        return media_files(path, dataset.benchmark.setup.modality)
    if not path.is_file() or path.suffix not in (".npy", ".npz"):
        raise DataError(f"option real: found {path}, needed a folder of media, or features as .npy or .npz")
    return []


def _look(
    system: System,
    dataset: Dataset,
    out: Path,
    made: Sequence[MadeMedium],
    weights: str,
    partial: bool,
    batch: int,
    device: str,
    watching: Watching,
) -> list[str]:
    """Let all look at the media who are named, and the system itself; what could not be asked comes as notes."""
    options, modality = dataset.options, dataset.benchmark.setup.modality
    prompts = {one.prompt for one in made}
    questions = [question for question in dataset.questions if question.id in prompts]
    if isinstance(options, CaptionedOptions):
        if options.encoder:
            real = _real(dataset, questions, options.real, partial)
            extracting.extract_distance(out, options.encoder, modality, made, real, device, watching.on_task)
        if options.clip:
            extracting.extract_angles(out, options.clip, modality, made, options.prefix, device, watching.on_task)
    if isinstance(options, GenEvalOptions):
        by_id = {question.id: question for question in questions}
        detecting.detect(out, made, by_id, options.detector, options.clip, options.most, device, watching.on_task)
    if not options.ask:
        return []
    if not modalities.get(modality).fits(system.spec.inputs):
        return [f"p_yes is left out: the system makes {modality} and reads none"]
    try:
        asking.ask_itself(system, out, modality, made, options.question, weights, batch, watching.on_task)
    except OptionError:
        raise
    except ModalinkError as error:
        return [f"p_yes is left out: {error}"]
    return []


def _example(one: MadeMedium, out: Path, modality: str) -> dict[str, Any]:
    """A medium as the report shows it: what was asked, and what came."""
    medium: tuple[Content, ...] = (Medium(modality, out / one.file),) if one.file else ()
    unmade = [] if one.file else [{"modality": modality, "note": one.missing}]
    return {"asked": pieces((Text(one.asked),)), "reply": [*pieces((Text(one.reply), *medium)), *unmade]}
