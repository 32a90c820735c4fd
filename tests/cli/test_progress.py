from io import StringIO
from pathlib import Path

from rich.console import Console

from modalink.cli.progress import show
from modalink.model.groups import GroupRow
from modalink.training.events import Evaluated, RunStarted, StageStarted, StepDone, Warned

TABLE = [GroupRow("llm", 90, False, 0.9, None), GroupRow("inputs.image.projector", 10, True, 0.1, 1e-3)]


def _drawn(*, terminal: bool) -> str:
    console = Console(file=StringIO(), force_terminal=terminal, width=100)
    with show(console=console) as on_event:
        on_event(RunStarted(Path("runs/a"), resumed=True))
        on_event(StageStarted("pretrain", 0, 100, TABLE))
        for step in range(1, 101):
            on_event(StepDone("pretrain", step, 100, {"losses": {"language": 2.0 / step}}))
        on_event(Warned("[odd] text"))
    return console.file.getvalue()


def test_elsewhere_twenty_plain_lines_a_stage():
    lines = _drawn(terminal=False).splitlines()
    steps = [line for line in lines if line.startswith("pretrain: step ")]
    assert len(steps) == 20
    assert steps[-1] == "pretrain: step 100 of 100, language 0.0200"
    assert lines[0] == "runs/a: goes on where it stopped"
    assert lines[-1] == "note: [odd] text"
    assert "\x1b" not in "".join(lines)


def test_on_a_terminal_a_bar():
    drawn = _drawn(terminal=True)
    assert "100/100" in drawn and "language 0.0200" in drawn


def test_lines_tell_the_time_left_in_the_stage_and_in_all():
    console = Console(file=StringIO(), width=100)
    with show(console=console) as on_event:
        on_event(RunStarted(Path("runs/a"), False, {"before": 7, "pretrain": 20, "instruct": 100}))
        on_event(StageStarted("pretrain", 10, 20, TABLE))
        for step, seconds in ((11, 1.0), (12, 3.0)):
            on_event(StepDone("pretrain", step, 20, {"losses": {"language": 1.0}, "seconds": seconds}))
        on_event(StageStarted("instruct", 0, 3, TABLE))
        for step in (1, 3):
            on_event(StepDone("instruct", step, 3, {"losses": {"language": 1.0}, "seconds": 5.0}))
    lines = [line for line in console.file.getvalue().splitlines() if ": step " in line]
    assert lines == [
        "pretrain: step 11 of 20, language 1.0000, 9 s left, about 2 min in all",
        "pretrain: step 12 of 20, language 1.0000, 16 s left, about 4 min in all",
        "instruct: step 1 of 3, language 1.0000, 10 s left",
        "instruct: step 3 of 3, language 1.0000",
    ]


def test_evaluations_have_a_line_of_their_own():
    console = Console(file=StringIO(), width=100)
    with show(console=console) as on_event:
        on_event(Evaluated("pretrain", 4, 6, {"loss": 1.5, "pope.score": 80.25}, 2.0, best=True))
        on_event(Evaluated("pretrain", 6, 6, {"loss": 1.75}, 2.0, best=False))
    assert console.file.getvalue().splitlines() == [
        "pretrain: evaluated after step 4 of 6: loss 1.5000, pope.score 80.2500; the best so far",
        "pretrain: evaluated after step 6 of 6: loss 1.7500",
    ]


def test_a_run_that_begins_says_where_its_curves_are():
    for terminal in (False, True):
        console = Console(file=StringIO(), force_terminal=terminal, width=100)
        with show(console=console, curves=["curves: tensorboard --logdir runs/a"]) as on_event:
            on_event(RunStarted(Path("runs/a"), resumed=False))
        assert "runs/a: begins" in console.file.getvalue()
        assert "curves: tensorboard --logdir runs/a" in console.file.getvalue()
