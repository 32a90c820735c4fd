"""`modalink evaluate`: how good a trained run is."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from modalink import files
from modalink.cli.options import Best, Device, Threads
from modalink.cli.progress import answering
from modalink.cli.score import Choices, pairs, show
from modalink.errors import OptionError, brief
from modalink.evaluation import runner
from modalink.evaluation.answer_file import PREDICTIONS
from modalink.evaluation.dataset import Dataset, open_dataset
from modalink.evaluation.evaluators import Evaluator, Results, evaluator_of
from modalink.evaluation.examples import COUNT
from modalink.evaluation.made.evaluate import Watching, split_options
from modalink.evaluation.made.evaluate import evaluate as evaluate_made
from modalink.evaluation.question import Skipped
from modalink.evaluation.runner import Evaluation
from modalink.inference import Sampling, load
from modalink.model import System
from modalink.report import write_report
from modalink.report.side_by_side import write_side_by_side
from modalink.report.view import percent
from modalink.runs.folder import RECIPE
from modalink.runs.results import write_results
from modalink.scoring import registry
from modalink.scoring.benchmark import MediaBenchmark
from modalink.scoring.measures import Measure
from modalink.settings import RunSettings, run_settings

_Data = Annotated[
    Path | None, typer.Option("--data", help="Folder with the benchmark's official files and media, in any layout.")
]
_Annotations = Annotated[
    Path | None, typer.Option("--annotations", help="The annotation file; found in --data by its official name.")
]
_Split = Annotated[
    str, typer.Option(help="Which split, where there are several; for tiny-world `validation` or `test`.")
]
_MaxNewTokens = Annotated[
    int | None, typer.Option(min=1, help="Longest answer, in tokens; the benchmark's own by default.")
]
_Prompt = Annotated[
    str, typer.Option(help="Words instead of the benchmark's own prompt, with {question} and {options} filled in.")
]
_Partial = Annotated[
    bool, typer.Option("--partial", help="Leave out questions whose media are missing or damaged, and say so.")
]
_Against = Annotated[
    Path | None,
    typer.Option(
        "--against", help="Another run that was evaluated on the same, or its folder of answers: a paired test, and "
        "of made media a page side by side."
    ),
]  # fmt: skip
_Out = Annotated[
    Path | None,
    typer.Option("--out", file_okay=False, help="Folder for the answers; by default RUN/evaluation/BENCHMARK."),
]


def evaluate(
    run: Annotated[str, typer.Argument(help="A run folder, or a hub id of a saved system.")],
    *,
    benchmark: Annotated[
        str, typer.Option("--benchmark", help="`tiny-world`, or any that `modalink score list` names.")
    ],
    data: _Data = None,
    annotations: _Annotations = None,
    split: _Split = "",
    limit: Annotated[int | None, typer.Option(min=1, help="Ask the first questions only.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Questions that are answered together.")] = 16,
    max_new_tokens: _MaxNewTokens = None,
    option: Choices = None,
    prompt: _Prompt = "",
    partial: _Partial = False,
    out: _Out = None,
    against: _Against = None,
    best: Best = False,
    device: Device = None,
    threads: Threads = None,
    as_json: Annotated[bool, typer.Option("--json", help="The numbers as a JSON object.")] = False,
) -> None:
    """Evaluate a trained run on a benchmark; an interrupted evaluation is resumed when it is started again.

    Answers are written to RUN/evaluation/BENCHMARK as they are made, and scored as `modalink score` does. The numbers
    go into the run's report.json and report.html. `tiny-world` needs no data.

    \b
    modalink evaluate runs/demo --benchmark tiny-world
    modalink evaluate runs/demo --benchmark tiny-world --split validation --limit 200 --option seed=1 --json
    modalink evaluate runs/mine --benchmark vqav2 --data vqa --split val
    modalink evaluate runs/mine --benchmark pope --data pope --best --limit 100 --json
    modalink evaluate runs/mine --benchmark coco_images --data coco --option encoder=pt_inception.pth \
        --option clip=openai/clip-vit-base-patch32 --option steps=30 --against runs/other
    """
    name, asked = registry.load(benchmark)
    settings = run_settings(device=device, threads=threads)
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    options = pairs(option)
    if evaluator := evaluator_of(name):
        _refuse(name, data, annotations, prompt, out, max_new_tokens, partial, against)
        options |= {key: value for key, value in (("split", split), ("limit", limit)) if value}
        _show_results(evaluate_by_itself(run, name, evaluator, options, settings, console, best=best), as_json)
        return
    label = _label(name, best)
    folder = out or _folder(run, label)
    options, sampling = split_options(options) if isinstance(asked, MediaBenchmark) else (options, None)
    dataset = open_dataset(name, data, annotations, split, options, prompt)
    other = None if against is None else _other(against, label)
    system = load(run, best=best, device=settings.device, threads=settings.threads).system
    evaluation = _put(
        system, dataset, sampling, console, out=folder, limit=limit, batch=batch, max_new_tokens=max_new_tokens,
        partial=partial, examples=COUNT if _has_report(run) else 0, against=other,
    )  # fmt: skip
    if evaluation.report is not None:
        _keep(run, label, evaluation.report.as_dict() | {"examples": evaluation.examples})
    if as_json:
        print(json.dumps(_data(name, evaluation), allow_nan=False))
    else:
        _show_evaluation(evaluation)


def _put(system: System, dataset: Dataset, sampling: Sampling | None, console: Console, **told: Any) -> Evaluation:
    """Put a benchmark to a system: questions in words, or with how media are made, requests for them."""
    with answering(console, dataset.benchmark.title, "answered" if sampling is None else "made") as progress:
        if sampling is None:
            return runner.evaluate(system, dataset, on_progress=progress.tell, **told)
        watching, device = Watching(progress.tell, progress.say), str(system.model.device)
        evaluation = evaluate_made(system, dataset, sampling=sampling, device=device, watching=watching, **told)
    if told["against"] is not None and evaluation.report is not None:
        page = write_side_by_side(told["out"], told["against"], evaluation.report)
        console.print(f"side by side {page}", markup=False)
    return evaluation


def evaluate_by_itself(
    run: str,
    benchmark: str,
    evaluator: Evaluator,
    given: dict[str, Any],
    settings: RunSettings,
    console: Console,
    *,
    best: bool = False,
) -> Results:
    """Let a benchmark evaluate a run by itself, and write the numbers into the run and its report."""
    options = registry.checked(evaluator.options, benchmark, given)
    system = load(run, best=best, device=settings.device, threads=settings.threads).system
    with console.status("evaluating") as status:

        def show(task: str) -> None:
            status.update(f"evaluating: {task}")
            if not console.is_terminal:
                console.print(f"evaluating: {task}")

        results = evaluator.evaluate(system, options, show)
    _keep(run, _label(benchmark, best), results.to_dict())
    return results


def tables(results: Results) -> Iterator[Table]:
    """The numbers beside their baselines, for a terminal."""
    for title, measures in results.tables().items():
        if measures:
            yield _explained(title, measures) if any(m.what for m in measures) else _compact(title, measures)


def _explained(title: str, measures: Sequence[Measure]) -> Table:
    table = Table(title=title)
    table.add_column("what")
    for heading in ("right", "95 % interval", "n"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("baseline")
    for m in measures:
        interval = f"{percent(m.low)} to {percent(m.high)}"
        baselines = "\n".join(f"{percent(baseline.value)} {baseline.name}" for baseline in m.baselines)
        table.add_row(f"[bold]{m.name}[/]\n{m.what}", percent(m.value), interval, str(m.count), baselines)
        table.add_section()
    return table


def _compact(title: str, measures: Sequence[Measure]) -> Table:
    table = Table(title=title)
    table.add_column("kind")
    for heading in ("right", *(baseline.name for baseline in measures[0].baselines)):
        table.add_column(heading, justify="right")
    for m in measures:
        table.add_row(m.name, percent(m.value), *(percent(baseline.value) for baseline in m.baselines))
    return table


def _show_results(results: Results, as_json: bool) -> None:
    if as_json:
        numbers = {key: value for key, value in results.to_dict().items() if key != "examples"}
        print(json.dumps(numbers, allow_nan=False))
    else:
        Console(highlight=False).print(*tables(results))


def _refuse(name: str, *given: Any) -> None:
    if any(given):
        raise OptionError(f"{name} makes its own questions: it takes --split, --limit and --option KEY=VALUE only")


def _keep(run: str, benchmark: str, results: Mapping[str, Any]) -> None:
    """Put results into a run folder and its report; a system from the hub has neither."""
    if _has_report(run):
        write_results(Path(run), benchmark, results)
        write_report(Path(run))


def _other(against: Path, label: str) -> Path:
    """Where the answers of another run are."""
    path = files.named(against, OptionError)
    found = next((folder for folder in (path, path / "evaluation" / label) if (folder / PREDICTIONS).is_file()), None)
    if found is None:
        raise OptionError(
            f"--against: found no answers in {path}, needed a run that was evaluated on {label}, or its folder "
            f"RUN/evaluation/{label}"
        )
    return found


def _has_report(run: str) -> bool:
    return (Path(run) / RECIPE).is_file()


def _label(benchmark: str, best: bool) -> str:
    """What results are called in the run: those of its best checkpoint stand beside those of its end."""
    return f"{benchmark}-best" if best else benchmark


def _folder(run: str, name: str) -> Path:
    if not Path(run).is_dir():
        raise OptionError(
            f"{run} is no folder here: check its name; for a run from the hub, --out FOLDER says where the answers go"
        )
    return Path(run) / "evaluation" / name


def _data(name: str, evaluation: Evaluation) -> dict[str, Any]:
    """The report as JSON data, with where the answers are and what was left out."""
    report = {"benchmark": name, "score": None} if evaluation.report is None else evaluation.report.as_dict()
    return report | {
        "predictions": str(evaluation.predictions),
        "skipped": [{"id": skipped.id, "why": skipped.why} for skipped in evaluation.skipped],
        "command": evaluation.command,
    }


def _show_evaluation(evaluation: Evaluation) -> None:
    _show_skipped(evaluation.skipped)
    if evaluation.report is not None:
        show(evaluation.report)
        print(f"answers: {evaluation.predictions}\nagain:   {evaluation.command}")
        return
    print(f"answers: {evaluation.predictions}\nA judge scores them, and none was given; score them later:")
    print(
        f"  {evaluation.command} --option judge=http://HOST/v1 --option judge_model=NAME --option replies=judged.jsonl"
    )


def _show_skipped(skipped: list[Skipped]) -> None:
    for one in skipped[:10]:
        print(f"left out: question {brief(one.id)}: {brief(one.why, 500)}")
    if len(skipped) > 10:
        print(f"left out: {len(skipped) - 10} more, which --json lists")
