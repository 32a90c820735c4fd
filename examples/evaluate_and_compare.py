"""Train two designs on the same data and budget, put one benchmark to both, and test whether they differ.

The question here: what does it cost to join four encoder tokens into one prompt token?

Run: `python examples/evaluate_and_compare.py`
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import modalink
from modalink import tiny_world
from modalink.evaluation.dataset import open_dataset
from modalink.evaluation.runner import evaluate
from modalink.recipe import load
from modalink.scoring.score import ScoreReport, score

DESIGNS = {"64 tokens": "{kind: linear}", "16 tokens": "{kind: linear, join: {tokens: 4, layout: square}}"}


def main(folder: Path, steps: int = 60, batch: int = 32, count: int = 100) -> ScoreReport:
    """Compare the designs on `count` questions, of the form that POPE's have."""
    write_questions(folder / "pope", count)
    dataset = open_dataset("pope", folder / "pope", prompt="{question}")
    answers = {}
    for name, projector in DESIGNS.items():
        recipe = load("demo", [f"inputs.image.projector={projector}", "outputs={}", f"stages=[{stage(steps, batch)}]"])
        modalink.train(recipe, folder / name)
        found = evaluate(modalink.load(folder / name).system, dataset, out=folder / name / "answers")
        answers[name] = found.predictions
        print(f"{name}: F1 {found.report.score:.3f}, 95 % interval {found.report.interval}")
    ours, theirs = answers.values()
    report = score("pope", ours, dataset.annotations, against=theirs)
    print(f"difference {report.comparison.difference:.3f}, p = {report.comparison.p_value:.3f}")
    return report


def stage(steps: int, batch: int) -> str:
    """One stage that teaches the input projector to see."""
    data = "[{source: tiny_world, count: 4000, tasks: {caption: 1, vqa: 1}}]"
    return (
        "{name: seeing, train: {inputs.image.projector: {lr: 3e-3}}, objectives: [{kind: language}], "
        f"data: {data}, batch: {batch}, steps: {steps}}}"
    )


def write_questions(folder: Path, count: int) -> None:
    """Pictures of held-out scenes, each with a question about what is in it."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(count):
        scene = tiny_world.sample_scene(number, "test")
        (question,) = tiny_world.questions(scene, np.random.default_rng(number), ("existence",))
        Image.fromarray(tiny_world.render(scene)).save(folder / f"{number}.png")
        rows.append({"question_id": number, "image": f"{number}.png", "text": question.text, "label": question.answer})
    (folder / "pope_random.json").write_text("\n".join(map(json.dumps, rows)))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/compare"))
