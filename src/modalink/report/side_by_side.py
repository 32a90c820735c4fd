"""What two systems made of the same prompts, side by side: one page, without a script and without other files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from modalink import files, modalities
from modalink.errors import ModalinkError
from modalink.roles import Preview
from modalink.scoring.bootstrap import Comparison
from modalink.scoring.made_media import MadeMedium, read_made
from modalink.scoring.score import ScoreReport

NAME = "side-by-side.html"
MOST = 200
"""Prompts that are shown."""
MOST_CHARACTERS = 24 * 2**20
"""Characters of the media of a page."""


@dataclass(frozen=True)
class Side:
    """What one system made of a prompt.

    Args:
        medium: The medium as an element of the page, or why there is none.
        reply: What the system said.
        score: What the medium is worth; None where there is none, or nobody says.
        preferred: Whether it is worth more than the other's.
    """

    medium: Markup
    reply: str
    score: float | None
    preferred: bool


@dataclass(frozen=True)
class Pair:
    """One prompt and what both systems made of it."""

    caption: str
    left: Side
    right: Side


def write_side_by_side(left: Path, right: Path, report: ScoreReport) -> Path:
    """Write the page into the left folder.

    Args:
        left: A system's folder of results.
        right: Another one's, of the same prompts.
        report: The scores of both.

    Returns:
        The file.

    Raises:
        DataError: A folder is damaged.
    """
    theirs = {one.id: one for one in read_made(right)}
    shared = [(one, theirs[one.id]) for one in read_made(left) if one.id in theirs]
    worth = _worth(shared, report)
    pairs = list(_pairs(left, right, shared, worth))
    pages = Environment(
        loader=PackageLoader("modalink.report", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=StrictUndefined,
    )  # fmt: skip
    page = pages.get_template("side_by_side.html.jinja").render(
        title=report.benchmark,
        names=(_name(left), _name(right)),
        numbers=_numbers(report),
        by_item=report.summary.by_item,
        preferred=(sum(_more(*both) for both in worth), sum(_more(b, a) for a, b in worth)),
        count=len(shared),
        pairs=pairs,
        style=Markup(Path(__file__).with_name("page.css").read_text(encoding="utf-8")),
    )
    files.write(left / NAME, page)
    return left / NAME


Worth = tuple[float | None, float | None]


def _worth(shared: Sequence[tuple[MadeMedium, MadeMedium]], report: ScoreReport) -> list[Worth]:
    """What the media of both are worth; of one that is missing nothing."""
    if not report.summary.by_item or report.both is None:
        return [(None, None)] * len(shared)
    left, right = ({item.question.id: item.grade.score for item in own.items} for own in report.both)
    return [
        (None if own.missing else left.get(own.id), None if other.missing else right.get(other.id))
        for own, other in shared
    ]


def _more(value: float | None, other: float | None) -> bool:
    return value is not None and (other is None or value > other)


def _numbers(report: ScoreReport) -> list[tuple[str, str, str, str]]:
    """Name, both values and what is between them, of the metrics that both have."""
    if report.both is None:
        return []
    left, right = (own.metrics for own in report.both)
    shared = [name for name in left if name in right]
    # The first is the score.
    between = report.comparisons | ({shared[0]: report.comparison} if report.comparison is not None else {})
    return [
        (name, f"{left[name]:.4g}", f"{right[name]:.4g}", _between(between[name]) if name in between else "")
        for name in shared
    ]


def _between(comparison: Comparison) -> str:
    low, high = comparison.interval
    return f"{comparison.difference:+.3g} ({low:+.3g} to {high:+.3g}), p = {comparison.p_value:.2g}"


def _pairs(
    left: Path, right: Path, shared: Sequence[tuple[MadeMedium, MadeMedium]], worth: Sequence[Worth]
) -> Iterator[Pair]:
    """The first prompts, as many as a page takes."""
    room = MOST_CHARACTERS
    for (own, other), (a, b) in zip(shared[:MOST], worth, strict=False):
        media = [_medium(left, own), _medium(right, other)]
        room -= sum(map(len, media))
        if room < 0:
            return
        sides = (Side(media[0], own.reply, a, _more(a, b)), Side(media[1], other.reply, b, _more(b, a)))
        yield Pair(own.caption, *sides)


def _medium(results: Path, one: MadeMedium) -> Markup:
    """The medium as an element of a page."""
    if not one.file:
        return Markup(Preview(note=one.missing).html(""))
    try:
        modality = _modality(results / one.file)
        return Markup(modalities.preview(modality, results / one.file).html(one.caption))
    except ModalinkError as error:
        return Markup(Preview(note=f"cannot be shown: {error}").html(""))


def _modality(path: Path) -> str:
    """The modality of a file that was made: the one that writes such files."""
    return next(name for name in modalities.names() if modalities.get(name).written == path.suffix)


def _name(results: Path) -> str:
    """What a system is called: its run's folder."""
    path = results.resolve()
    return path.parent.parent.name if path.parent.name == "evaluation" else path.name
