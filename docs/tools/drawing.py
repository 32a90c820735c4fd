"""Draws a system as SVG: its parts from left to right, and under each what it does in every stage, learn or stay."""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from modalink.planning.sizes import Sizes
from modalink.recipe import Recipe
from modalink.recipe.groups import JOIN, LLM, LORA, NEW_TOKENS, Group

WIDTH, ROW, TOP, LEFT = 960, 104, 58, 16
_BOX, _HIGH = 196, 74
_COLUMNS = {"medium": LEFT, "encoder": 108, "projector": 334, "llm": 560, "out": 786}
_LEARNS, _STAYS, _INK, _PAPER, _LINE = "#e4572e", "#3a86c8", "#1f2933", "#ffffff", "#8a97a6"
_FILLS = {"medium": "#f4f1ea", "encoder": "#eaf2fb", "projector": "#fdf1e7", "llm": "#eef0f4", "out": "#eef7ee"}
_FLAME = "M0,-6 C3,-2 5,-1 4,3 C3,6 -3,6 -4,3 C-5,0 -2,-1 -2,-3 C-1,-2 0,-3 0,-6 Z"
_FLAKE = "M0,-6 V6 M-5.2,-3 L5.2,3 M-5.2,3 L5.2,-3"


@dataclass(frozen=True)
class Part:
    """One box.

    Args:
        title: What it is.
        lines: What more there is to say, at most two short lines.
        learns: For each stage, whether it, or a section of it, learns.
    """

    title: str
    lines: tuple[str, ...]
    learns: tuple[bool, ...]


def drawing(recipe: Recipe, counted: Sizes) -> str:
    """The picture of one system.

    Args:
        recipe: The system.
        counted: Its sizes.
    """
    ways = [modality for modality in recipe.inputs if recipe.inputs[modality].encoder is not None]
    rows = max(len(ways), len(recipe.outputs), 1)
    height = TOP + rows * ROW + 46
    middle = TOP + rows * ROW / 2
    body = [*_legend(recipe, height)]
    llm = _llm(recipe, counted)
    body += _box("llm", middle - _HIGH / 2, llm)
    for number, owner in enumerate(ways):
        body += _way_in(recipe, counted, owner, TOP + (number + 0.5) * ROW * rows / len(ways), middle)
    for number, modality in enumerate(recipe.outputs):
        y = TOP + (number + 0.5) * ROW * rows / len(recipe.outputs)
        body += _arrow(_COLUMNS["llm"] + _BOX, middle, _COLUMNS["out"], y)
        body += _box("out", y - _HIGH / 2, _out(recipe, counted, modality), width=158)
    if not recipe.outputs:
        body += _arrow(_COLUMNS["llm"] + _BOX, middle, _COLUMNS["out"], middle)
        body.append(_text(_COLUMNS["out"] + 8, middle + 5, "text", size=15))
    title = _text(LEFT, 30, recipe.name, size=20, weight=600)
    frame = f'<rect width="{WIDTH}" height="{height}" rx="10" fill="{_PAPER}" stroke="#d9dee5"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
    style = f'font-family="Helvetica, Arial, sans-serif" fill="{_INK}">'
    return "\n".join([head + style, f"<title>{escape(recipe.name)}</title>", frame, title, *body, "</svg>\n"])


def _way_in(recipe: Recipe, counted: Sizes, owner: str, y: float, middle: float) -> Iterator[str]:
    """An encoder with the modalities that it reads, and the projectors behind it."""
    read = [modality for modality, used in recipe.encoder_owners.items() if used == owner]
    for number, modality in enumerate(read):
        place = y + (number - (len(read) - 1) / 2) * 26
        yield _rectangle(LEFT, place - 11, 66, 22, 11, _FILLS["medium"], "#d8d0bf")
        yield _text(LEFT + 33, place + 4.5, modality, size=12, anchor="middle")
        yield from _arrow(LEFT + 66, place, _COLUMNS["encoder"], y)
    config, group = recipe.encoders()[owner], Group.encoder(owner)
    names = [checkpoint for checkpoint, _ in config.checkpoints()]
    lines = (_cut(", ".join(name.rpartition("/")[2] for name in names)), millions(counted.parts.get(group, 0)))
    yield from _box("encoder", y - _HIGH / 2, Part(config.kind, lines, _learns(recipe, group)))
    own = [modality for modality in read if recipe.projector_owners[modality] == modality]
    for number, modality in enumerate(own):
        place = y + (number - (len(own) - 1) / 2) * (_HIGH + 8) * (0.62 if len(own) > 1 else 1)
        group = Group.input_projector(modality)
        kind = recipe.projector(modality).kind
        name = f"{kind} of {modality}" if len(own) > 1 else kind
        part = Part(name, (millions(counted.parts[group]),), _learns(recipe, group))
        high = _HIGH if len(own) == 1 else 46
        yield from _arrow(_COLUMNS["encoder"] + _BOX, y, _COLUMNS["projector"], place)
        yield from _box("projector", place - high / 2, part, high=high)
        yield from _arrow(_COLUMNS["projector"] + _BOX, place, _COLUMNS["llm"], middle)


def _llm(recipe: Recipe, counted: Sizes) -> Part:
    extra = [f"{name} {millions(counted.parts[group])}" for group, name in _EXTRA.items() if counted.parts.get(group)]
    join = "" if recipe.join.kind == "splice" else f", {recipe.join.kind.replace('_', ' ')}"
    checkpoint, _ = recipe.llm.checkpoints()[-1]  # of a difference, whose it is
    lines = (_cut(checkpoint.rpartition("/")[2] + join), ", ".join([millions(counted.parts[LLM]), *extra]))
    learns = (_learns(recipe, LLM), *(_learns(recipe, group) for group in _EXTRA))
    return Part("LLM", lines, tuple(map(any, zip(*learns, strict=True))))


_EXTRA = {LORA: "LoRA", JOIN: "join", NEW_TOKENS: "tokens"}


def _out(recipe: Recipe, counted: Sizes, modality: str) -> Part:
    group, made = Group.output_projector(modality), recipe.outputs[modality]
    lines = (f"to {_cut(made.generator.kind.replace('_', ' '), 20)}", millions(counted.parts.get(group, 0)))
    return Part(f"{made.link_kinds or made.use or 'words'}: {modality}", lines, _learns(recipe, group))


def _learns(recipe: Recipe, group: Group) -> tuple[bool, ...]:
    """For each stage, whether a part or a section of it learns."""
    return tuple(any(Group(named).whole == group for named in stage.train) for stage in recipe.stages)


def _box(column: str, y: float, part: Part, *, width: int = _BOX, high: float = _HIGH) -> Iterator[str]:
    x, edge = _COLUMNS[column], _LEARNS if any(part.learns) else _STAYS
    yield _rectangle(x, y, width, high, 8, _FILLS[column], edge)
    yield _text(x + 10, y + 19, part.title, size=14, weight=600)
    for number, line in enumerate(part.lines):
        yield _text(x + 10, y + 37 + 16 * number, line, size=11.5, colour="#4a5663")
    for number, learns in enumerate(part.learns):
        yield _mark(x + width - 12 - 15 * (len(part.learns) - 1 - number), y + high - 12, learns)


def _mark(x: float, y: float, learns: bool) -> str:
    """A flame for what learns, a snowflake for what stays."""
    if learns:
        return f'<path transform="translate({x:g},{y:g})" d="{_FLAME}" fill="{_LEARNS}"/>'
    place = f"translate({x:g},{y:g}) scale(0.9)"
    return f'<path transform="{place}" d="{_FLAKE}" stroke="{_STAYS}" stroke-width="1.5" fill="none"/>'


def _legend(recipe: Recipe, height: float) -> Iterator[str]:
    stages = " → ".join(stage.name for stage in recipe.stages)
    yield _text(LEFT, height - 16, f"stages: {stages}", size=12, colour="#4a5663")
    yield _mark(WIDTH - 152, height - 20, True)
    yield _text(WIDTH - 142, height - 16, "learns", size=12, colour="#4a5663")
    yield _mark(WIDTH - 84, height - 20, False)
    yield _text(WIDTH - 74, height - 16, "frozen", size=12, colour="#4a5663")


def _arrow(x: float, y: float, to_x: float, to_y: float) -> Iterator[str]:
    bend = (x + to_x) / 2
    line = f"M{x:g},{y:g} C{bend:g},{y:g} {bend:g},{to_y:g} {to_x - 5:g},{to_y:g}"
    head = f"M{to_x - 7:g},{to_y - 4:g} L{to_x - 1:g},{to_y:g} L{to_x - 7:g},{to_y + 4:g} Z"
    yield f'<path d="{line}" fill="none" stroke="{_LINE}" stroke-width="1.4"/>'
    yield f'<path d="{head}" fill="{_LINE}"/>'


def _rectangle(x: float, y: float, width: float, high: float, corner: int, fill: str, edge: str) -> str:
    place = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{high:g}" rx="{corner}"'
    return f'<rect {place} fill="{fill}" stroke="{edge}" stroke-width="1.6"/>'


def _text(
    x: float, y: float, words: str, *, size: float, weight: int = 400, colour: str = _INK, anchor: str = "start"
) -> str:
    form = f'font-size="{size:g}" font-weight="{weight}" fill="{colour}" text-anchor="{anchor}"'
    return f'<text x="{x:g}" y="{y:g}" {form}>{escape(words)}</text>'


def _cut(words: str, most: int = 28) -> str:
    return words if len(words) <= most else words[: most - 1] + "…"


def millions(count: float) -> str:
    """A size for people, to three digits."""
    units = ((1e9, "B"), (1e6, "M"), (1e3, "K"), (1, ""))
    unit, name = next((unit, name) for unit, name in units if count >= unit or unit == 1)
    return f"{count / unit:.3g} {name}".strip()
