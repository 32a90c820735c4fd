"""`modalink chat`: a conversation in the terminal."""

import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from modalink import modalities
from modalink.cli.media import takes_media
from modalink.cli.option_groups import takes_loading, takes_sampling, tells_media
from modalink.cli.watching import watched
from modalink.conversation import Conversation, Medium
from modalink.errors import ModalinkError
from modalink.inference import (
    Answer,
    Begun,
    Destination,
    Sampling,
    Session,
    asked,
    keep_conversation,
    load,
    load_conversation,
    save_conversation,
)

HELP = (
    "Write a line and press Enter. {shows}/save FOLDER keeps all, /reset forgets all, /quit ends, "
    "Ctrl-C stops an answer."
)
_ENDS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""What ends a program whose terminal was closed."""
_LEAVING = "(Ctrl-C again or Ctrl-D ends, and what was said is kept; /quit ends without keeping it)"


@takes_media
@takes_loading
@takes_sampling
@tells_media
def chat(
    run: Annotated[str, typer.Argument(help="A run folder, or a hub id of a saved system.")],
    *,
    media: list[Medium],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FOLDER|PATTERN",
            help="Where the media go that answers make: a folder, or a pattern such as films/{number}-{modality}.mp4.",
        ),
    ] = Path(),
    resume: Annotated[
        Path | None, typer.Option("--resume", help="A folder that /save wrote: the conversation goes on.")
    ] = None,
    sampling: dict[str, Any],
    making: dict[str, Any],
    loading: dict[str, Any],
) -> None:
    """Talk with a trained run in the terminal.

    \b
    modalink chat runs/demo
    modalink chat runs/demo --image a.png --temperature 0.7
    """
    options = {**sampling, **making}
    Sampling.checked(**options)
    destination = Destination.of(str(out))
    session = load(run, **loading)
    destination.check(session.makes)
    talk = _Talk(session, destination, options)
    talk.conversation = talk.saved = None if resume is None else load_conversation(resume)
    for medium in media:
        talk.show(medium.modality, medium.source)
    with _kept_if_cut_off(talk, run):
        talk.loop()


class _Talk:
    """One conversation, typed and printed line by line."""

    def __init__(self, session: Session, out: Destination, options: dict[str, Any]) -> None:
        self.session, self.out, self.options = session, out, options
        self.conversation: Conversation | None = None
        self.saved: Conversation | None = None
        """What of it stands in a folder."""
        self.media: list[Medium] = []
        self.reads = session.reads

    def loop(self) -> None:
        """Take lines until the user ends it.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed twice where a line is typed.
            EOFError: The lines ended without `/quit`.
        """
        self.help()
        while (line := self.line()) != "/quit":
            try:
                self.take(line)
            except ModalinkError as error:
                print(f"modalink: {error}", file=sys.stderr)

    def line(self) -> str:
        """The next line; one Ctrl-C drops what was typed of it."""
        try:
            return input("> ").strip()
        except KeyboardInterrupt:
            print(f"\n{_LEAVING}")
        return input("> ").strip()

    def take(self, line: str) -> None:
        """Do what one line says."""
        word, _, rest = line.partition(" ")
        if word == "/reset":
            self.conversation, self.media = None, []
        elif word == "/save":
            self.save(rest.strip().strip("'\""))
        elif word.removeprefix("/") in self.reads and word.startswith("/"):
            self.show(word.removeprefix("/"), Path(rest.strip().strip("'\"")).expanduser())
        elif word.startswith("/"):
            self.help()
        elif line:
            self.answer(line)

    def save(self, folder: str) -> None:
        """Keep what was said so far in a folder."""
        if self.conversation is None:
            print("(nothing was said yet)")
        else:
            print(f"(kept in {save_conversation(self.conversation, folder)})")
            self.saved = self.conversation

    def show(self, modality: str, path: Path) -> None:
        """Put a medium before the next question; it is read once now, to refuse a bad one at once."""
        modalities.get(modality).read(path)
        self.media.append(Medium(modality, path))
        print(f"({path} goes with your next line)")

    def answer(self, line: str) -> None:
        """Answer one line; the conversation goes on only from an answer that came to its end."""
        ended = []

        def end_line() -> None:
            print()
            ended.append(True)

        try:
            with watched(begins=end_line) as watch:
                options = {"watch": watch, **self.options}
                stream = self.session.stream(asked(line, self.media, self.conversation), **options)
                for piece in stream.pieces():
                    mark = f" [{piece.modality} {piece.number}] " if isinstance(piece, Begun) else piece
                    print(mark, end="", flush=True)
        except KeyboardInterrupt:
            print("\n(stopped; the conversation stands as before this line)")
            return
        except ModalinkError:
            print()
            raise
        if not ended:
            print()
        self.conversation, self.media = stream.answer.conversation, []
        self.show_media(stream.answer)

    def show_media(self, answer: Answer) -> None:
        """Name the files of what an answer made, and say what it did not."""
        paths = answer.save_media(self.out)
        numbers = [number for number, made in enumerate(answer.made, 1) if not made.missing] or range(1, len(paths) + 1)
        for number, (modality, _), path in zip(numbers, answer.media, paths, strict=True):
            print(f"({modality} {number}: {path})")
        for note in (*self.out.notes(answer.media), *answer.notes):
            print(f"note: {note}", file=sys.stderr)

    def help(self) -> None:
        """Say what can be typed."""
        print(HELP.format(shows="".join(f"/{name} PATH shows one {name}, " for name in self.reads)))


@contextmanager
def _kept_if_cut_off(talk: _Talk, run: str) -> Iterator[None]:
    """Keep what was not saved of a conversation where something else than `/quit` ends it, and say how it resumes."""
    in_main = threading.current_thread() is threading.main_thread()
    ends = [number for number in _ENDS if in_main and signal.getsignal(number) is signal.SIG_DFL]
    for number in ends:
        signal.signal(number, _end)
    try:
        yield
    except (KeyboardInterrupt, EOFError):
        with suppress(OSError):  # of a terminal that is gone
            print()
        _keep(talk, run)
    except BaseException:
        _keep(talk, run)
        raise
    finally:
        for number in ends:
            signal.signal(number, signal.SIG_DFL)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


def _keep(talk: _Talk, run: str) -> None:
    if talk.conversation is None or talk.conversation is talk.saved:
        return
    try:
        folder = keep_conversation(talk.conversation)
        again = shlex.join(["modalink", "chat", run, "--resume", str(folder)])
        words = f"(what was said is kept; to go on: {again})"
    except ModalinkError as error:
        words = f"modalink: what was said is not kept: {error}"
    with suppress(OSError):
        print(words, file=sys.stderr)
