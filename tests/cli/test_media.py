"""Options for media, from the table of modalities."""

from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from modalink.cli.media import takes_media
from modalink.conversation import Medium


@pytest.fixture
def show():
    """Builds a command that prints the media it was given, and runs it."""

    def run(*words):
        @takes_media
        def show(place: str, *, media: list[Medium], seed: int = 0) -> None:
            given.extend([place, seed, *media])

        given = []
        app = typer.Typer(rich_markup_mode=None)
        app.command()(show)
        result = CliRunner().invoke(app, [*words])
        return result, given

    return run


def test_every_modality_of_the_table_has_a_short_option(depth, show):
    result, given = show("here", "--depth", "a.npy", "--media", "depth=b.npy", "--image", "c.png", "--seed", "3")
    assert result.exit_code == 0, result.output
    assert given == [
        "here", 3, Medium("depth", Path("b.npy")), Medium("depth", Path("a.npy")), Medium("image", Path("c.png")),
    ]  # fmt: skip
    help = show("--help")[0].stdout
    assert "--media MODALITY=PATH" in " ".join(help.split()) and "image=i.png" in help
    assert "--depth" in help and "Short for --media depth=PATH." in " ".join(help.split())


def test_a_commands_own_option_stays_its_own(plug_in, depth, show):
    plug_in("seed", replace(depth, name="seed"))
    assert show("here", "--seed", "3", "--media", "seed=a.npy")[1] == ["here", 3, Medium("seed", Path("a.npy"))]


def test_without_media_there_are_none(show):
    assert show("here")[1] == ["here", 0]
