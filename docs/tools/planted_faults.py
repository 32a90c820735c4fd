"""Plants faults in captions of the tiny world, and tells how many a filter finds: the table of docs/data-quality.md.

    python docs/tools/planted_faults.py --run runs/demo --out build/planted-faults

What the run has learned is none of it: captions of another seed. OUT/seed-N/data.jsonl has 30 % planted faults, a
quarter of them each: wrong captions, swapped pictures, near-duplicates, and items of a test set that stands in
OUT/seed-N/test. The folder also gets random.jsonl, as large a part of the data as good.jsonl is, and compare.yaml,
which trains on each: `modalink compare --study OUT/seed-N/compare.yaml --out OUT/seed-N/compared`.
"""

import argparse
import io
import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from marked import Marked
from PIL import Image

from modalink import modalities
from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.data.output import writing
from modalink.data.reading import in_order
from modalink.data.sources.messages import MessagesConfig
from modalink.data.sources.tiny_world import TinyWorldConfig
from modalink.data.writers.messages import MessagesWriterConfig
from modalink.data_quality.check import Context
from modalink.data_quality.checks.benchmarks import BenchmarksConfig
from modalink.data_quality.checks.dependency import DependencyConfig
from modalink.data_quality.checks.duplicates import DuplicatesConfig
from modalink.data_quality.checks.near_duplicates import NearDuplicatesConfig
from modalink.data_quality.filtering import keep_good, scores_of

KINDS = ("wrong caption", "swapped picture", "near-duplicate", "test item")
SHARE = 0.3
_SEED = 1000
"""Of the captions: training of the demo has others."""


def main() -> int:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", required=True, help="A run that reads pictures of the tiny world.")
    parser.add_argument("--out", type=Path, default=Path("build/planted-faults"))
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--check", action="store_true", help="Only tell whether the table would change.")
    given = parser.parse_args()
    page = Marked(
        Path(__file__).parents[1] / "data-quality.md", "<!-- planted faults -->", "<!-- end of planted faults -->"
    )
    found = [measured(given.out / f"seed-{seed}", given.run, given.samples, seed) for seed in given.seeds]
    content = table(found, given.samples)
    print(content)
    if given.check:
        return int(content != page.content)
    page.write(content)
    return 0


def measured(folder: Path, run: str, count: int, seed: int) -> dict[str, Any]:
    """What is found of the faults of one seed: shares of each kind, and of the good samples that are lost."""
    kept = folder / "found.json"
    if kept.is_file():
        return dict(json.loads(kept.read_text()))
    planted = write(folder, count, seed)
    source = MessagesConfig(path=str(folder / "data.jsonl"))
    checks = [DuplicatesConfig(), NearDuplicatesConfig(), BenchmarksConfig(), DependencyConfig(run=run)]
    out = folder / "good.jsonl"
    out.unlink(missing_ok=True)
    context = Context(against=[folder / "test"], scores=scores_of(out))
    filtered = keep_good(source, checks, context, MessagesWriterConfig(), out)
    faulty = {found[0][1].sample for found in filtered.checked.faulty.values()}
    random_part(folder, filtered.written, seed)
    (folder / "compare.yaml").write_text(yaml.safe_dump(comparison(folder), sort_keys=False))
    shares: dict[str, Any] = {
        kind: sum(name in faulty for name in names) / len(names) for kind, names in planted.items()
    }
    kept.write_text(json.dumps(shares, indent=1) + "\n")
    return shares


def write(folder: Path, count: int, seed: int) -> dict[str, list[str]]:
    """Write the data and the test set; the names of samples by what was planted in them, good ones under `good`."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    each = round(count * SHARE / len(KINDS)) // 2 * 2
    rows = [row for row in in_order(captions("train", count, seed)) if isinstance(row, Conversation)]
    tests = [row for row in in_order(captions("test", 2 * each, seed)) if isinstance(row, Conversation)]
    (folder / "test").mkdir(exist_ok=True)
    for number, test in enumerate(tests):
        picture(test).save(folder / "test" / f"{number:04}.png")
    places = rng.sample(range(count), 4 * each)
    wrong, swapped, near, leaked = (places[start : start + each] for start in range(0, 4 * each, each))
    good = [number for number in range(count) if number not in {*places}]
    new = dict(enumerate(rows))
    for at, other in zip(wrong, rng.sample(good, each), strict=True):
        new[at] = told(rows[at], rows[other].turns[1].text)
    for one, other in zip(swapped[::2], swapped[1::2], strict=True):
        new[one], new[other] = shown(rows[one], picture(rows[other])), shown(rows[other], picture(rows[one]))
    for at, other in zip(near, rng.sample(good, each), strict=True):
        again = told(shown(rows[at], stored_again(picture(rows[other]), rng)), rows[other].turns[1].text)
        # It comes behind the sample that it is like, so that it is the one that is found.
        new[at] = replace(again, id=f"{count + at}")
    for at, test in zip(leaked, rng.sample(tests, each), strict=True):
        new[at] = shown(test, stored_again(picture(test), rng))
    order = [*(at for at in range(count) if at not in {*near}), *near]
    (folder / "data.jsonl").unlink(missing_ok=True)
    with writing(folder / "data.jsonl", MessagesWriterConfig()) as output:
        for number, at in enumerate(order):
            assert output.add(number, replace(new[at], id=str(at)))
    kinds = dict(zip(KINDS, (wrong, swapped, near, leaked), strict=True))
    return {kind: [*map(str, own)] for kind, own in {"good": good, **kinds}.items()}


def captions(split: Any, count: int, seed: int) -> TinyWorldConfig:
    """Pictures with their captions."""
    return TinyWorldConfig(split=split, count=count, seed=_SEED + seed, tasks={"caption": 1.0})


def picture(row: Conversation) -> Image.Image:
    """What a sample shows."""
    return next(modalities.get("image").read(medium.source) for _, medium in row.media())


def shown(row: Conversation, image: Image.Image) -> Conversation:
    """A sample with another picture."""
    content = tuple(replace(p, source=image) if isinstance(p, Medium) else p for p in row.turns[0].content)
    return replace(row, turns=(replace(row.turns[0], content=content), *row.turns[1:]))


def told(row: Conversation, caption: str) -> Conversation:
    """A sample with another caption."""
    return replace(row, turns=(row.turns[0], Turn("assistant", (Text(caption),))))


def stored_again(image: Image.Image, rng: random.Random) -> Image.Image:
    """A picture as it comes back from elsewhere: another size, and JPEG of some quality."""
    side = round(image.width * rng.uniform(1.2, 2))
    file = io.BytesIO()
    image.resize((side, side), Image.Resampling.BICUBIC).save(file, "JPEG", quality=rng.randint(70, 95))
    return Image.open(file).convert("RGB")


def random_part(folder: Path, count: int, seed: int) -> None:
    """As many samples of the data, drawn at random."""
    lines = (folder / "data.jsonl").read_text().splitlines(keepends=True)
    chosen = sorted(random.Random(seed).sample(range(len(lines)), count))
    (folder / "random.jsonl").write_text("".join(lines[number] for number in chosen))


def comparison(folder: Path) -> dict[str, Any]:
    """Training on the good part, on as large a random one, and on all, asked for captions that are held out."""
    files = {"filtered": "good", "random": "random", "all": "data"}
    sources = {name: [{"source": "messages", "path": str(folder / f"{file}.jsonl")}] for name, file in files.items()}
    return {
        "name": "filtered",
        "question": "Does a system learn more from what the filter keeps than from as much of everything?",
        "designs": [{"name": name, "recipe": "llava", "data": data} for name, data in sources.items()],
        "data": sources["all"],
        "benchmarks": {"questions": {"name": "tiny_world", "limit": 300}},
        "tiny": True,
        "steps": 300,
        "seeds": [0, 1, 2],
    }


def table(found: Sequence[dict[str, Any]], count: int) -> str:
    """Shares of all seeds, as a table of Markdown."""

    def rows() -> Iterator[str]:
        yield "| of | found: mean | each seed |"
        yield "| --- | --- | --- |"
        for kind in (*KINDS, "all planted", "good, lost"):
            shares = [share(one, kind) for one in found]
            yield f"| {kind} | {sum(shares) / len(shares):.1%} | {', '.join(f'{one:.1%}' for one in shares)} |"

    return f"Of {count:,} samples of each of {len(found)} seeds, {SHARE:.0%} planted:\n\n" + "\n".join(rows())


def share(one: dict[str, Any], kind: str) -> float:
    """What is found of a kind; all kinds are equally many."""
    if kind == "all planted":
        return sum(float(one[name]) for name in KINDS) / len(KINDS)
    return float(one["good" if kind == "good, lost" else kind])


if __name__ == "__main__":
    sys.exit(main())
