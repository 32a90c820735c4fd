"""A few gusts of the storm; `make storm` blows longer."""

import subprocess
import sys
from pathlib import Path


def test_runs_that_are_killed_at_random_places_end_like_the_unbroken_one():
    storm = [sys.executable, str(Path(__file__).with_name("storm.py")), "--kills", "4", "--seed", "3"]
    done = subprocess.run(storm, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert "4 kills: equal" in done.stdout
