"""The house's own rules: imports point downwards, one command one file, starting is quick."""

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import grimp
import pytest
from importlinter.application.use_cases import lint_imports
from importlinter.configuration import configure

import modalink
from modalink.cli.main import COMMANDS, file_of
from modalink.kinds import config_class, kinds

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "modalink"
ROOMS = [
    "modalink.encoders",
    "modalink.projectors.inputs",
    "modalink.projectors.outputs",
    "modalink.llms",
    "modalink.llms.joins",
    "modalink.generators",
    "modalink.training.objectives",
    "modalink.data.sources",
    "modalink.data.writers",
    "modalink.data_quality.checks",
    "modalink.data_making.makers",
    "modalink.rewards",
]


def test_imports_point_downwards_only():
    configure()
    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), is_debug_mode=False)


def test_no_two_modules_import_each_other():
    graph = grimp.build_graph("modalink")
    for module in graph.modules:
        for other in graph.find_modules_directly_imported_by(module):
            assert module not in graph.find_modules_directly_imported_by(other), f"{module} and {other}"


@pytest.mark.parametrize("room", ROOMS)
def test_a_kind_is_called_like_its_file(room):
    assert kinds(room)
    for name in kinds(room):
        config = config_class(room, name)
        assert config.model_fields["kind"].default == name
        assert config.room == room
        assert config.__doc__


def test_no_function_is_longer_than_sixty_lines():
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = node.end_lineno - node.lineno + 1
                assert lines <= 60, f"{file.relative_to(ROOT)}: {node.name} has {lines} lines"


def test_the_tour_names_every_room():
    """The first column of the table in CONTRIBUTING is the folders and the loose files, no more and no less."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("| room of `src/modalink` |")[2].partition("\n\n")[0]
    cells = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
    named = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    files = {path.name for path in PACKAGE.glob("*.py") if not path.name.startswith("__")}
    folders = {f"{path.name}/" for path in PACKAGE.iterdir() if path.is_dir() and not path.name.startswith("__")}
    assert sorted(named) == sorted(files | folders)


def test_every_command_is_one_file():
    folder = ROOT / "src" / "modalink" / "cli"
    files = {file.stem for file in folder.glob("*.py")} - {
        "__init__",
        "comparing",
        "data_check",
        "data_convert",
        "data_filter",
        "data_make",
        "data_mix",
        "filling",
        "main",
        "media",
        "option_groups",
        "options",
        "paths",
        "progress",
        "showing",
        "sources",
        "watching",
    }
    named = {file_of(name) for name in COMMANDS}
    assert files == named
    for name in named:
        assert hasattr(import_module(f"modalink.cli.{name}"), name)


def test_the_program_starts_without_the_heavy_libraries():
    code = "import sys, modalink.cli.main; print([m for m in ('torch', 'transformers', 'numpy') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_scoring_loads_no_torch():
    code = """
import sys
from modalink.scoring.registry import catalogue
from modalink.scoring.score import score
catalogue()
print([m for m in ("torch", "transformers", "diffusers") if m in sys.modules])
"""
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout == "[]\n"


def test_the_public_list():
    assert sorted(modalink.__all__) == [
        "Answer",
        "Conversation",
        "ModalinkError",
        "Recipe",
        "RunSettings",
        "Session",
        "__version__",
        "build",
        "load",
        "train",
    ]
    assert all(callable(getattr(modalink, name)) for name in modalink.__all__ if name != "__version__")
