"""What verifiable rewards are worth on the tiny world, counting and comparison: writes the table of docs/online.md.

    python docs/tools/verifiable_rewards.py --run RUNS --seeds 3       # fine-tunes, then draws
    python docs/tools/verifiable_rewards.py --run RUNS --from runs/demo --stage pretrain-seeing

A system learns to see by supervised fine-tuning; then it draws replies to questions of two kinds about other pictures,
and is told of each only whether it is right. Both are asked about held-out pictures; the other kinds of questions tell
whether it forgets.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from marked import Marked

from modalink.data.sources.tiny_world import TinyWorldConfig
from modalink.inference.request import Request
from modalink.inference.sampling import Sampling
from modalink.inference.session import Session
from modalink.model import System, compose
from modalink.recipe import Recipe
from modalink.rewards import asked_of
from modalink.tiny_world import QUESTION_KINDS
from modalink.tiny_world.scene_questions import normalise_answer
from modalink.training.events import Event, StepDone
from modalink.training.train import train
from modalink.training.weights import find_lent, initialise

TABLE = Marked(
    Path(__file__).parents[1] / "online.md", "<!-- verifiable rewards: begin -->", "<!-- verifiable rewards: end -->"
)
KINDS = ("count", "comparison")
OTHERS = tuple(kind for kind in QUESTION_KINDS if kind not in KINDS)
PARTS: dict[str, Any] = {
    "inputs": {
        "image": {
            "encoder": {"kind": "vision", "checkpoint": "zoo:vision", "layer": -1},
            "projector": {"kind": "linear"},
        }
    },
    "llm": {
        "checkpoint": "zoo:llm",
        "lora": {
            "rank": 8,
            "alpha": 16,
            "targets": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        },
    },
    "prompt": {"template": "chatml", "system": ""},
}
SFT: dict[str, Any] = {
    "name": "sft",
    "train": {"inputs.image.projector": {"lr": 3e-3}},
    "objectives": [{"kind": "language"}],
    "data": [{"source": "tiny_world", "count": 4000, "tasks": ["caption", "vqa"]}],
    "batch": 32,
    "steps": 90,
}


def online(advantage: str, steps: int, batch: int, replies: int, lr: float, seed: int) -> dict[str, Any]:
    """The stage that draws."""
    policy = (
        {"kind": "policy"}
        if advantage != "rloo"
        else {"kind": "policy", "ratio": "sequence_sum", "aggregation": "grpo"}
    )
    return {
        "name": "online",
        "kind": "online",
        "advantage": advantage,
        "train": {"inputs.image.projector": {"lr": lr}, "llm.lora": {"lr": lr}},
        "objectives": [policy],
        "rewards": [{"kind": "exact_match", "normalise": "tiny_world"}],
        "data": [{"source": "tiny_world", "count": 20000, "seed": 100 + seed, "tasks": ["vqa"], "questions": [*KINDS]}],
        "batch": batch,
        "replies": replies,
        "beside": batch * replies,
        "max_new_tokens": 6,
        "steps": steps,
        "schedule": "constant",
        "warmup": 0,
        "precision": "float32",
    }


def accuracy(system: System, kinds: tuple[str, ...], count: int) -> float:
    """The share of right answers to held-out questions."""
    session = Session(system)
    source = TinyWorldConfig(split="test", count=count, seed=7, tasks=["vqa"], questions=[*kinds]).open()
    asked = [asked_of(source[i]) for i in range(count)]
    prompts = [system.prepare(conversation, reply=True).loaded() for conversation, _ in asked]
    said = session.engine.generate([Request(prompt, Sampling(max_new_tokens=16), media=False) for prompt in prompts])
    return (
        sum(
            normalise_answer(one.text) == normalise_answer(facts["answer"])
            for one, (_, facts) in zip(said, asked, strict=True)
        )
        / count
    )


def measured(system: System, count: int) -> dict[str, float]:
    """Accuracy of both kinds, and of the others together."""
    system.model.eval()
    found = {kind: accuracy(system, (kind,), count) for kind in KINDS}
    return found | {"others": accuracy(system, OTHERS, count)}


def one(seed: int, chosen: argparse.Namespace) -> dict[str, Any]:
    """One seed, before and after."""
    folder = chosen.run / f"{chosen.advantage}-{seed}"
    stage = online(chosen.advantage, chosen.steps, chosen.batch, chosen.replies, chosen.lr, seed)
    if chosen.source is None:
        train(
            Recipe.model_validate({"name": "sft", "seed": seed, **PARTS, "stages": [SFT]}),
            chosen.run / f"sft-{seed}",
            on_event=say,
        )
        stage["init"] = {"from": str(chosen.run / f"sft-{seed}")}
    else:
        stage["init"] = {"from": str(chosen.source)} | ({"stage": chosen.stage} if chosen.stage else {})
    recipe = Recipe.model_validate({"name": "online", "seed": seed, **PARTS, "stages": [stage]})
    system = compose(recipe, seed=seed)
    initialise(system.model, find_lent(recipe, print)["online"])
    before = measured(system, chosen.count)
    print(json.dumps({"seed": seed, "before": before}), flush=True)
    train(recipe, folder, on_event=say)
    after = measured(System.load(folder / "model", generators=False), chosen.count)
    lines = [json.loads(line) for line in (folder / "online" / "metrics.jsonl").read_text().splitlines()]
    tail = lines[-10:]
    bounds = {name: sum(line[name] for line in tail) / len(tail) for name in ("kl", "reply_tokens", "reward")}
    return {"seed": seed, "before": before, "after": after, "largest kl": max(line["kl"] for line in lines), **bounds}


def say(event: Event) -> None:
    """A line for some steps."""
    if isinstance(event, StepDone) and event.step % 5 == 0:
        told = {
            k: round(event.record[k], 3)
            for k in ("reward", "signal", "kl", "reply_tokens", "loss", "seconds")
            if k in event.record
        }
        print(event.stage, event.step, told, flush=True)


def table(rows: list[dict[str, Any]]) -> str:
    """Means over seeds in percent, and gains in points, with the standard error and each seed's."""
    lines = ["| questions | before | after | gain | each seed |", "| --- | --- | --- | --- | --- |"]
    for kind in (*KINDS, "others"):
        before, after = ([100 * row[when][kind] for row in rows] for when in ("before", "after"))
        gains = [b - a for a, b in zip(before, after, strict=True)]
        mean = sum(gains) / len(gains)
        shares = f"{sum(before) / len(rows):.1f} | {sum(after) / len(rows):.1f}"
        each = ", ".join(f"{gain:+.1f}" for gain in gains)
        lines.append(f"| {kind} | {shares} | {mean:+.1f}{spread(gains, mean)} | {each} |")
    return "\n".join(lines)


def spread(gains: list[float], mean: float) -> str:
    """The standard error of a mean over seeds; nothing of one seed."""
    if len(gains) < 2:
        return ""
    return f" ± {(sum((gain - mean) ** 2 for gain in gains) / (len(gains) - 1) / len(gains)) ** 0.5:.1f}"


def main() -> None:
    """Measure, and write the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument(
        "--run", type=Path, required=True, help="folder of the runs; finished ones are not trained again"
    )
    options.add_argument(
        "--from", dest="source", type=Path, help="a run of the demo to begin from, instead of fine-tuning"
    )
    options.add_argument("--stage", help="its last stage that counts")
    options.add_argument("--advantage", default="grpo", choices=["grpo", "rloo", "dr_grpo", "batch", "reinforce"])
    for name, value in (("seeds", 3), ("steps", 60), ("batch", 32), ("replies", 8), ("count", 300)):
        options.add_argument(f"--{name}", type=int, default=value)
    options.add_argument("--lr", type=float, default=3e-4)
    chosen = options.parse_args()
    rows = [one(seed, chosen) for seed in range(chosen.seeds)]
    for row in rows:
        print(json.dumps(row))
    TABLE.write(table(rows))
    print(TABLE.content)


if __name__ == "__main__":
    main()
