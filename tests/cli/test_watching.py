"""The line that tells how far a medium is, and Ctrl-C that stops the making alone."""

import signal
from functools import partial
from io import StringIO

import pytest
from rich.console import Console

from modalink.cli.watching import watched
from modalink.inference import Making


def consoles():
    return Console(file=StringIO(), force_terminal=True, width=80), Console(file=StringIO(), force_terminal=False)


def test_a_terminal_shows_the_steps_and_is_cleared_and_a_file_stays_empty():
    terminal, file = consoles()
    for console in (terminal, file):
        begun: list[int] = []
        with watched(console, begins=partial(begun.append, 1)) as watch:
            for number, modality in enumerate(("image", "audio"), 1):
                for step in range(3):
                    watch.on_step(Making(modality, number, step, 3))
        assert begun == [1]
    shown = terminal.file.getvalue()
    assert "making image 1" in shown and "making audio 2" in shown and "2/3" in shown
    assert shown.endswith("\x1b[2K"), "the line is cleared"
    assert file.file.getvalue() == ""


def test_nothing_is_shown_where_nothing_is_made():
    terminal, _ = consoles()
    with watched(terminal):
        pass
    assert terminal.file.getvalue() == ""


def test_ctrl_c_interrupts_words_stops_media_and_interrupts_again():
    before = signal.getsignal(signal.SIGINT)
    _, file = consoles()
    with pytest.raises(KeyboardInterrupt), watched(file) as watch:
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), watched(file) as watch:
        watch.on_step(Making("image", 1, 0))
        assert not watch.should_stop()
        signal.raise_signal(signal.SIGINT)
        assert watch.should_stop()
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
