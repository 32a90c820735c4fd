"""What tests of stages that draw share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def good(data: dict[str, str]) -> str:
    """The questions whose pictures are there: where one is not, two processes read other samples than one."""
    lines = Path(data["ask"]).read_text().splitlines(keepends=True)
    file = Path(data["ask"]).with_name("good.jsonl")
    file.write_text("".join(line for line in lines if "absent" not in line))
    return str(file)
