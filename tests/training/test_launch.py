"""Several processes that are started and watched together; what they run here is a few lines of Python."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modalink.training.launch import ProcessesFailed, cores, hand_over, launch, launched

RANK = "import os, sys, time, signal\nfrom pathlib import Path\nrank = os.environ['RANK']\n"
SAVES = "def save(n, f):\n    Path(sys.argv[1], f'saved-{rank}').touch()\n    sys.exit(130)\nsignal.signal(signal.SIGINT, save)\n"
WAITS = "Path(sys.argv[1], f'pid-{rank}').write_text(str(os.getpid()))\ntime.sleep(200)\n"
FAILS = "from modalink.training.launch import hand_over\nhand_over(f'modalink: {rank} broke', 7)\nsys.exit(7)\n"


def _when(ready: Callable[[], bool], act: Callable[[], None]) -> None:
    """Act from another thread as soon as something is so."""

    def watch() -> None:
        while not ready():
            time.sleep(0.02)
        act()

    threading.Thread(target=watch, daemon=True).start()


def _pids(folder: Path) -> list[int]:
    return [int(text) for path in folder.glob("pid-*") if (text := path.read_text())]


def _gone(pids: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_each_process_knows_its_place_its_share_of_the_cores_and_the_modules(tmp_path: Path) -> None:
    names = ["RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "OMP_NUM_THREADS", "COLOUR"]
    code = f"{RANK}import modalink\nPath(sys.argv[1], rank).write_text(' '.join(map(os.environ.get, {names})))\n"
    launch(["-c", code, str(tmp_path)], 2, {"COLOUR": "red"})
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, cores() // 2)))
    for rank in ("0", "1"):
        assert (tmp_path / rank).read_text() == f"{rank} {rank} 2 2 {threads} red"
    assert not launched()


def test_the_words_of_the_first_failure_are_told_and_the_others_are_stopped(tmp_path: Path) -> None:
    code = f"{RANK}if rank == '1':\n    while not list(Path(sys.argv[1]).glob('pid-0')): time.sleep(.02)\n"
    code += "".join(f"    {line}\n" for line in FAILS.splitlines()) + WAITS
    with pytest.raises(ProcessesFailed, match=r"^1 broke$") as caught:
        launch(["-c", code, str(tmp_path)], 2)
    assert caught.value.exit_code == 7
    assert len(_pids(tmp_path)) == 1 and _gone(_pids(tmp_path))


def test_a_process_that_is_killed_is_told(tmp_path: Path) -> None:
    def kill() -> None:
        os.kill(int((tmp_path / "pid-1").read_text()), signal.SIGKILL)

    _when(lambda: len(_pids(tmp_path)) == 2, kill)
    with pytest.raises(ProcessesFailed, match=r"process 1 of 2 .* was killed by SIGKILL, and the others were stopped"):
        launch(["-c", RANK + WAITS, str(tmp_path)], 2)
    assert _gone(_pids(tmp_path))


@pytest.fixture
def hears_ctrl_c() -> Iterator[None]:
    """A process that a shell started in the background is told to ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("hears_ctrl_c")
def test_ctrl_c_reaches_all_and_each_ends_in_its_own_way(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    _when(lambda: len(_pids(tmp_path)) == 2, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(ProcessesFailed) as caught:
        launch(["-c", RANK + SAVES + WAITS, str(tmp_path)], 2)
    assert "ended with exit code 130" in str(caught.value)
    assert {path.name for path in tmp_path.glob("saved-*")} == {"saved-0", "saved-1"}
    assert _gone(_pids(tmp_path))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_a_process_of_its_own_keeps_its_words() -> None:
    assert not hand_over("modalink: broke", 1)


@pytest.mark.parametrize("words", ["", "{", "[]", '{"message": 3}', '{"message": {"message": "a"}}', "[" * 9999])
def test_words_that_were_not_finished_say_nothing(tmp_path: Path, words: str) -> None:
    file = "Path(os.environ['TORCHELASTIC_ERROR_FILE']).with_name('words.json')"
    code = f"import os, sys\nfrom pathlib import Path\n{file}.write_text({words!r})\nsys.exit(9)\n"
    with pytest.raises(ProcessesFailed, match=r"process 0 of 1 .* ended with exit code 9"):
        launch(["-c", code], 1)
