"""`modalink evaluate`: how good a trained run is."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from modalink.cli.options import Device, Threads
from modalink.cli.progress import answering
from modalink.cli.score import pairs, show
from modalink.errors import OptionError
from modalink.evaluation import runner, tiny_world
from modalink.evaluation.dataset import open_task
from modalink.evaluation.question import Skipped
from modalink.evaluation.runner import Outcome
from modalink.evaluation.tiny_world import Sizes
from modalink.inference import load
from modalink.report import keep, view, write_report
from modalink.scoring import registry
from modalink.settings import RunSettings, run_settings


def evaluate(
    run: Annotated[str, typer.Argument(help="A run folder, or a hub id of a saved system.")],
    *,
    benchmark: Annotated[
        str, typer.Option("--benchmark", help="`tiny-world`, or any that `modalink score list` names.")
    ],
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder with the benchmark's official files and media, in any layout.")
    ] = None,
    annotations: Annotated[
        Path | None, typer.Option("--annotations", help="The annotation file; found in --data by its official name.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="Which split, where there are several; for tiny-world `validation` or `test`.")
    ] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="Ask the first questions only.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Questions that are answered together.")] = 16,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest answer, in tokens; the benchmark's own by default.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="KEY=VALUE", help="A choice of the benchmark; may be repeated."),
    ] = None,
    prompt: Annotated[
        str, typer.Option(help="Words instead of the benchmark's own prompt, with {question} and {options} filled in.")
    ] = "",
    partial: Annotated[
        bool, typer.Option("--partial", help="Leave out questions whose media are missing or damaged, and say so.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the answers; by default RUN/evaluation/BENCHMARK.")
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(min=1, help="tiny-world: questions, captions and drawings, each; by default 900, 500 and 500."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="tiny-world: picks questions, pictures and noise.")] = 0,
    device: Device = None,
    threads: Threads = None,
    as_json: Annotated[bool, typer.Option("--json", help="The numbers as a JSON object.")] = False,
) -> None:
    """Evaluate a trained run on a benchmark; a run that was stopped goes on when it is started again.

    Answers are written to RUN/evaluation/BENCHMARK as they are made, and scored as `modalink score` does.
    `tiny-world` needs no data and writes its numbers into the run's report.json and report.html.

    \b
    modalink evaluate runs/demo --benchmark tiny-world
    modalink evaluate runs/demo --benchmark tiny-world --split validation --samples 200 --json
    modalink evaluate runs/mine --benchmark vqav2 --data vqa --split val
    modalink evaluate runs/mine --benchmark pope --data pope --limit 100 --json
    """
    name, _ = registry.load(benchmark)
    settings = run_settings(device=device, threads=threads)
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    if name == "tiny_world":
        _check_tiny_world(split, data, annotations, limit, out, option, prompt)
        _tell_heldout(on_tiny_world(run, sizes(split or "test", samples, seed), settings, console), as_json)
        return
    if samples is not None or seed:
        raise OptionError("--samples and --seed belong to tiny-world; ask fewer questions with --limit")
    folder = out or _folder(run, name)
    task = open_task(name, data, annotations, split, pairs(option), prompt)
    system = load(run, device=settings.device, threads=settings.threads).system
    with answering(console, task.benchmark.title) as on_progress:
        outcome = runner.evaluate(
            system, task, out=folder, limit=limit, batch=batch, max_new_tokens=max_new_tokens,
            partial=partial, on_progress=on_progress,
        )  # fmt: skip
    if as_json:
        print(json.dumps(_data(name, outcome), ensure_ascii=False))
    else:
        _tell(outcome)


def _tell_heldout(heldout: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps({key: value for key, value in heldout.items() if key != "examples"}, ensure_ascii=False))
    else:
        Console(highlight=False).print(*tables(heldout))


def _check_tiny_world(split: str, *given: Any) -> None:
    if split not in ("", "validation", "test"):
        raise OptionError(f"found split {split!r}, needed validation or test")
    if any(given):
        raise OptionError("tiny-world makes its own questions: it takes --split, --samples and --seed only")


def _folder(run: str, name: str) -> Path:
    if not Path(run).is_dir():
        raise OptionError(
            f"{run} is no folder here: check its name; for a run from the hub, --out FOLDER says where the answers go"
        )
    return Path(run) / "evaluation" / name


def _data(name: str, outcome: Outcome) -> dict[str, Any]:
    """The report as JSON data, with where the answers are and what was left out."""
    report = {"benchmark": name, "score": None} if outcome.report is None else outcome.report.as_dict()
    return report | {
        "predictions": str(outcome.predictions),
        "skipped": [{"id": skipped.id, "why": skipped.why} for skipped in outcome.skipped],
        "command": outcome.command,
    }


def _tell(outcome: Outcome) -> None:
    _tell_skipped(outcome.skipped)
    if outcome.report is not None:
        show(outcome.report)
        print(f"answers: {outcome.predictions}\nagain:   {outcome.command}")
        return
    print(f"answers: {outcome.predictions}\nA judge scores them, and none was given; score them later:")
    print(f"  {outcome.command} --option judge=http://HOST/v1 --option judge_model=NAME --option replies=judged.jsonl")


def _tell_skipped(skipped: list[Skipped]) -> None:
    for one in skipped[:10]:
        print(f"left out: question {one.id}: {one.why}")
    if len(skipped) > 10:
        print(f"left out: {len(skipped) - 10} more, which --json lists")


def sizes(split: str, samples: int | None, seed: int = 0) -> Sizes:
    """The default sizes, or the same number of each task."""
    counts = {} if samples is None else {"questions": samples, "captions": samples, "drawings": samples}
    return Sizes.model_validate({"split": split, "seed": seed, **counts})


def on_tiny_world(run: str, wanted: Sizes, settings: RunSettings, console: Console) -> dict[str, Any]:
    """Evaluate on the tiny world, and write the numbers into the run and its reports, where it is a run folder."""
    system = load(run, device=settings.device, threads=settings.threads).system
    with console.status("evaluating") as status:

        def tell(task: str) -> None:
            status.update(f"evaluating: {task}")
            if not console.is_terminal:
                console.print(f"evaluating: {task}")

        heldout = tiny_world.evaluate(system, wanted, on_task=tell).to_dict()
    folder = Path(run)
    if (folder / "recipe.yaml").is_file():
        keep(folder, heldout)
        write_report(folder)
    return heldout


def tables(heldout: dict[str, Any]) -> Iterator[Table]:
    """The numbers beside their baselines, for a terminal."""
    table = Table(title=f"held-out numbers ({heldout['split']} split)")
    table.add_column("what")
    for heading in ("right", "95 % interval", "n"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("beside it")
    for meter in view.headline(heldout):
        interval = f"{view.percent(meter.low)} to {view.percent(meter.high)}"
        beside = "\n".join(f"{view.percent(mark.value)} {mark.name}" for mark in meter.marks)
        table.add_row(
            f"[bold]{meter.name}[/]\n{meter.what}", view.percent(meter.value), interval, str(meter.count), beside
        )
        table.add_section()
    yield table
    if kinds := view.kinds(heldout):
        table = Table(title="questions by kind")
        table.add_column("kind")
        for heading in ("right", *(mark.name for mark in kinds[0].marks)):
            table.add_column(heading, justify="right")
        for meter in kinds:
            table.add_row(meter.name, view.percent(meter.value), *(view.percent(mark.value) for mark in meter.marks))
        yield table
