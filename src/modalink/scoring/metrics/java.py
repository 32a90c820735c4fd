"""The Java programs behind the official caption scores: tokeniser, METEOR, SPICE. pycocoevalcap ships their jars."""

import contextlib
import importlib.util
import json
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from modalink import json_files
from modalink.errors import DataError

TOKENIZER = Path("tokenizer/stanford-corenlp-3.4.1.jar")
METEOR = Path("meteor/meteor-1.5.jar")
SPICE = Path("spice/spice-1.0.jar")
SPICE_MODELS = tuple(Path(f"spice/lib/stanford-corenlp-3.6.0{part}.jar") for part in ("", "-models"))

# Java before 18 reads files in the machine's encoding, which would change words with accents.
_UTF8 = "-Dfile.encoding=UTF-8"


def missing(*jars: Path) -> str:
    """Why programs cannot run on this machine, "" where they can."""
    if shutil.which("java") is None:
        return "no Java on this machine"
    home = _home()
    if home is None:
        return "pycocoevalcap is not installed"
    lost = [jar.name for jar in jars if not (home / jar).is_file()]
    return f"pycocoevalcap lacks {', '.join(lost)}" if lost else ""


def _home() -> Path | None:
    spec = importlib.util.find_spec("pycocoevalcap")
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else None


def _jar(jar: Path) -> Path:
    home = _home()
    if home is None or missing(jar):
        raise DataError(f"{jar.name}: {missing(jar)}")
    return home / jar


def _run(command: Sequence[str], text: str, folder: Path | None = None) -> str:
    done = subprocess.run(
        ["java", _UTF8, *command], input=text.encode("utf-8", "replace"), capture_output=True, cwd=folder
    )
    if done.returncode:
        raise DataError(
            f"java {' '.join(command)[:80]}: ended with {done.returncode}: "
            f"{done.stderr.decode(errors='replace')[-400:]}"
        )
    return done.stdout.decode("utf-8", "replace")


def tokenize(captions: Sequence[str]) -> list[list[str]]:
    """The tokens of captions by the Stanford PTB tokeniser 3.4.1, lower-cased.

    Raises:
        DataError: Java or the jar is missing, or it ended with an error.
    """
    command = ["-cp", str(_jar(TOKENIZER)), "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase"]
    # Every separator of lines that the program knows would shift all later captions by one.
    lines = [" ".join(caption.splitlines()) for caption in captions]
    tokenized = _run(command, "".join(f"{line}\n" for line in lines)).split("\n")[:-1]
    if len(tokenized) != len(lines):
        raise DataError(f"the PTB tokeniser gave {len(tokenized)} lines for {len(lines)} captions")
    # Some tokens hold a no-break space, which is no border.
    return [line.rstrip().split(" ") if line.strip() else [] for line in tokenized]


def meteor(replies: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[float, list[float]]:
    """METEOR 1.5 (`-l en -norm`) of a corpus, from its summed statistics, and of each sentence.

    Args:
        replies: Tokens of each caption, joined by spaces.
        references: Of each caption, its references in the same form.

    Raises:
        DataError: Java or the jar is missing, or it ended with an error.
    """
    jar = _jar(METEOR)
    lines = [
        " ||| ".join(("SCORE", *refs, reply.replace("|||", "").replace("  ", " ")))
        for reply, refs in zip(replies, references, strict=True)
    ]
    command = ["java", _UTF8, "-Xmx2G", "-jar", str(jar), "-", "-", "-stdio", "-l", "en", "-norm"]
    pipe = subprocess.PIPE
    # The program takes long to start, so one of it computes the statistics first and then sums them up.
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, cwd=jar.parent) as program:
        assert program.stdin is not None and program.stdout is not None
        writer = threading.Thread(target=_send, args=(program.stdin, lines))
        writer.start()
        statistics = [program.stdout.readline().decode().strip() for _ in lines]
        writer.join()
        _send(program.stdin, [" ||| ".join(["EVAL", *statistics])])
        scores = [float(program.stdout.readline() or "nan") for _ in range(len(lines) + 1)]
        program.stdin.close()
    if not np.isfinite(scores).all():
        raise DataError(f"METEOR ended early, with {np.isfinite(scores).sum()} of {len(scores)} scores")
    return scores[-1], scores[:-1]


def _send(stream: IO[bytes], lines: Sequence[str]) -> None:
    with contextlib.suppress(BrokenPipeError):  # who reads will miss the answers and say so
        for line in lines:
            stream.write(f"{line}\n".encode("utf-8", "replace"))
        stream.flush()


def spice(replies: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """SPICE 1.0 of each caption.

    Raises:
        DataError: Java, the jar or the CoreNLP models are missing, or it ended with an error.
    """
    jar = _jar(SPICE)
    rows = [
        {"image_id": n, "test": reply, "refs": list(refs)}
        for n, (reply, refs) in enumerate(zip(replies, references, strict=True))
    ]
    with tempfile.TemporaryDirectory() as folder:
        given, written = Path(folder, "in.json"), Path(folder, "out.json")
        given.write_text(json.dumps(rows))
        Path(folder, "cache").mkdir()
        command = [
            "-Xmx8G",
            "-jar",
            str(jar),
            str(given),
            "-cache",
            str(Path(folder, "cache")),
            "-out",
            str(written),
            "-subset",
            "-silent",
        ]
        _run(command, "", jar.parent)
        scores = {
            row["image_id"]: float(row["scores"]["All"]["f"])
            for row in json_files.read(written, DataError, list[dict[str, Any]])
        }
    return [scores[n] for n in range(len(rows))]
