"""A part of a page that a command writes: what stands between two marks of it, each on a line of its own."""

import argparse
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import transformers


@dataclass(frozen=True)
class Marked:
    """The part of a page between two marks."""

    page: Path
    begin: str
    end: str

    @property
    def content(self) -> str:
        """What stands there, without the line ends beside the marks."""
        return self._split()[1].strip("\n")

    def with_content(self, content: str) -> str:
        """The text of the page with other content there."""
        before, _, after = self._split()
        return f"{before}{self.begin}\n{content}\n{self.end}{after}"

    def write(self, content: str) -> None:
        """Put other content there."""
        self.page.write_text(self.with_content(content), encoding="utf-8")

    def command(self, make: Callable[[], str], description: str | None) -> int:
        """A command that writes it; with `--check` it prints the lines that would change, and says so by 1.

        Args:
            make: Makes the content.
            description: What `--help` says.
        """
        parser = argparse.ArgumentParser(description=description)
        parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if the table would change")
        check = parser.parse_args().check
        warnings.simplefilter("ignore")
        transformers.utils.logging.set_verbosity_error()
        before, content = self.page.read_text(encoding="utf-8"), make()
        if not check:
            self.write(content)
            return 0
        after = self.with_content(content)
        for line in sorted(set(after.splitlines()) ^ set(before.splitlines())):
            print(line)
        return int(after != before)

    def _split(self) -> tuple[str, str, str]:
        text = self.page.read_text(encoding="utf-8")
        before, begun, rest = text.partition(self.begin)
        content, ended, after = rest.partition(self.end)
        if not (begun and ended):
            raise ValueError(f"{self.page}: found no part between {self.begin!r} and {self.end!r}; put both there")
        return before, content, after
