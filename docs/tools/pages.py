"""Writes what the site is built from into `build/`: the documents, examples, the recipe reference and the API.

Run: `python docs/tools/pages.py`, as `make docs` does. The generator of the site reads `build/mkdocs.yml`.
"""

import re
import shutil
from pathlib import Path
from typing import Any

import yaml
from recipe_reference import recipe_reference

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build"
PACKAGE = ROOT / "src" / "modalink"
ROOMS = sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists())
GROUND_FLOOR = sorted(f"modalink.{path.stem}" for path in PACKAGE.glob("*.py") if not path.stem.startswith("__"))
EXAMPLES = sorted(path.name for path in (ROOT / "examples").iterdir() if path.suffix in (".py", ".toml"))


def main() -> None:
    """Write all pages, and the settings of the site with its navigation."""
    folder = BUILD / "docs"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "docs", folder, ignore=shutil.ignore_patterns("tools", "*.md"))
    for name, content in pages().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    (BUILD / "mkdocs.yml").write_text(yaml.safe_dump(settings(), sort_keys=False), encoding="utf-8")


def settings() -> dict[str, Any]:
    """The settings of the site, with examples and reference in its navigation."""
    given: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    reference = ["recipe-reference.md", "reference/modalink.md", *(f"reference/{room}.md" for room in ROOMS)]
    examples = ["examples/README.md", *(f"examples/{name}.md" for name in EXAMPLES)]
    given["nav"] += [{"Examples": examples}, {"Reference": reference}]
    return given


def pages() -> dict[str, str]:
    """The pages by their place on the site, where `docs/` is the root."""
    written = {path.name: _document(path) for path in sorted((ROOT / "docs").glob("*.md"))}
    written["index.md"] = _document(ROOT / "README.md")
    for name in ("CONTRIBUTING.md", "CHANGELOG.md"):
        written[name] = _document(ROOT / name)
    written["README.zh.md"] = _document(ROOT / "README.zh.md").replace("](README.md)", "](index.md)")
    written["examples/README.md"] = re.sub(r"\]\((\w+\.(?:py|toml))\)", r"](\1.md)", _text("examples/README.md"))
    for name in EXAMPLES:
        language = name.rpartition(".")[2]
        written[f"examples/{name}.md"] = f"# {name}\n\n```{language}\n{_text(f'examples/{name}')}```\n"
    written["recipe-reference.md"] = recipe_reference()
    written["reference/modalink.md"] = _api("modalink", ["modalink", *GROUND_FLOOR])
    for room in ROOMS:
        written[f"reference/{room}.md"] = _api(f"modalink.{room}", _modules(room))
    return written


def _document(path: Path) -> str:
    """A document, with the repository's links made those of the site."""
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"\]\((?:\.\./)?(examples/\w+\.(?:py|toml))\)", r"](\1.md)", text)
    return re.sub(r"\]\((?:\.\./|docs/)", "](", text)


def _modules(room: str) -> list[str]:
    """The public modules of a room: those whose names, and whose folders' names, begin with no underscore."""
    paths = [path.relative_to(PACKAGE).with_suffix("") for path in sorted((PACKAGE / room).rglob("*.py"))]
    names = [".".join(("modalink", *path.parts)).removesuffix(".__init__") for path in paths]
    return [name for name in names if not any(part.startswith("_") for part in name.split("."))]


def _api(title: str, modules: list[str]) -> str:
    return f"# {title}\n" + "".join(f"\n::: {module}\n" for module in modules)


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


if __name__ == "__main__":
    main()
