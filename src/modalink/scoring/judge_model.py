"""Judges: a language model behind any OpenAI-compatible address, or the replies it gave before.

Every reply is written down with the model's name, so that a score can be computed again without the judge.
"""

import hashlib
import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modalink import files, json_files
from modalink.errors import DataError, brief, shown
from modalink.scoring.annotations import whole_number
from modalink.scoring.predictions import identity, names_of
from modalink.scoring.rows import Row, read_rows


@dataclass(frozen=True, slots=True)
class Request:
    """What the judge is asked about one item."""

    id: str
    prompt: str
    system: str = ""
    run: int = 0
    """Judges are asked several times where a benchmark averages over runs."""
    attempt: int = 0
    """Number of the retry after a reply that could not be read; 0 is the first request."""
    temperature: float = 0.0
    max_tokens: int = 256
    answer: str = ""
    """The answer that is judged."""
    answer_id: str = ""
    """What the prediction file calls it, where it does."""
    pictures: tuple[str, ...] = ()
    """Data URLs of pictures that the judge sees before it reads."""

    @property
    def content(self) -> str | list[dict[str, Any]]:
        """What a chat-completions address takes as the user's message."""
        shown = [{"type": "image_url", "image_url": {"url": url}} for url in self.pictures]
        return [*shown, {"type": "text", "text": self.prompt}] if shown else self.prompt

    @property
    def key(self) -> tuple[str, int, int]:
        """What the reply is stored under."""
        return self.id, self.run, self.attempt


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judge's reply about one item."""

    id: str
    text: str
    run: int = 0
    attempt: int = 0
    model: str = ""
    answer_hash: str = ""
    """Of the answer that was judged, where it is known; see `hash_of`."""
    answer_id: str = ""
    """What its prediction file called that answer, where it is known."""


def hash_of(answer: str) -> str:
    """A short hash of an answer, by which a recorded reply is known to be about it."""
    return hashlib.sha256(answer.encode("utf-8", "backslashreplace")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A chat-completions address, such as `http://localhost:8000/v1`; the key comes from `OPENAI_API_KEY`."""

    url: str
    model: str
    tries: int = 5
    """How often it is asked before it counts as out of order."""
    first_wait_s: float = 0.5
    """Seconds before the second try; each further wait is twice as long."""

    def ask(self, request: Request) -> Verdict:
        """One reply; temporary failures are tried again.

        Raises:
            DataError: The address refused, or did not answer.
        """
        messages: list[dict[str, Any]] = [{"role": "system", "content": request.system}] if request.system else []
        messages.append({"role": "user", "content": request.content})
        body = {
            "model": self.model,
            "messages": messages,
            "temperature": request.temperature,
            "max_tokens": request.max_tokens,
        }
        answer = self._post(json.dumps(body).encode(), request.id)
        try:
            text = answer["choices"][0]["message"]["content"] or ""
        except (KeyError, IndexError, TypeError) as error:
            raise DataError(f"judge {self.url}: found {str(answer)[:200]!r}, needed a chat completion") from error
        if not isinstance(text, str):
            raise DataError(f"judge {self.url}: found {shown(text)} as content of its reply, needed text")
        model = str(answer.get("model", self.model))
        answer_hash = hash_of(request.answer) if request.answer else ""
        return Verdict(request.id, text, request.run, request.attempt, model, answer_hash)

    def _post(self, body: bytes, item: str) -> Any:
        key = os.environ.get("OPENAI_API_KEY", "")
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        address = f"{self.url.rstrip('/')}/chat/completions"
        for left in reversed(range(self.tries)):
            try:
                with urllib.request.urlopen(urllib.request.Request(address, body, headers), timeout=300) as response:
                    return json_files.parse(response.read(json_files.LONGEST + 1), ValueError, object)
            except urllib.error.HTTPError as error:
                if left == 0 or (error.code < 500 and error.code != 429):
                    reason = error.read(200).decode(errors="replace")
                    raise DataError(f"judge {address}, item {item}: HTTP {error.code} {reason}") from error
            except (OSError, ValueError) as error:
                if left == 0:
                    raise DataError(
                        f"judge {address}, item {item}: no answer in {self.tries} tries ({error})"
                    ) from error
            time.sleep(self.first_wait_s * 2.0 ** (self.tries - left - 1))
        raise AssertionError("the last try returns or raises")


@dataclass
class JudgeModel:
    """Replies from a record where it has them, else from an endpoint; new ones are added to the record."""

    endpoint: Endpoint | None = None
    record: Path | None = None
    """JSON lines {id, run, attempt, model, answer_hash, reply}."""
    known: dict[tuple[str, int, int], Verdict] = field(default_factory=dict)
    unattributed: int = 0
    """Replies that were used and do not tell which answer they are about."""
    unjudged: int = 0
    """Answers that were left out because there is no reply about them."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def name(self) -> str:
        """The models that judged, for the notes."""
        return ", ".join(sorted({reply.model or "unnamed" for reply in self.known.values()})) or "none"

    @property
    def origin(self) -> str:
        """Where the replies come from, for messages."""
        return str(self.record) if self.record else f"judge {self.endpoint.url}" if self.endpoint else "judge"

    def add(self, replies: Iterable[Verdict]) -> None:
        """Take over recorded replies.

        Raises:
            DataError: Two of them are for one item in one run, and differ.
        """
        for reply in replies:
            key = reply.id, reply.run, reply.attempt
            if self.known.setdefault(key, reply).text != reply.text:
                raise DataError(
                    f"{self.origin}: found two replies for {brief(reply.id)} in run {reply.run}, needed one; are they "
                    "replies about several models?"
                )

    def ask(self, requests: Sequence[Request], workers: int = 8) -> list[str | None]:
        """The replies to some requests, None where there is neither a recorded reply nor an endpoint."""
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(self._one, requests))

    def _one(self, request: Request) -> str | None:
        if request.key not in self.known and self.endpoint is not None:
            reply = self.endpoint.ask(request)
            with self._lock:
                self.known[request.key] = reply
                self._write(reply)
        verdict = self.known.get(request.key)
        if verdict is None:
            return None
        self._check_answer(request, verdict)
        return verdict.text

    def _check_answer(self, request: Request, verdict: Verdict) -> None:
        """A reply about another model's answer must not grade this one."""
        pairs = [(request.answer_id, verdict.answer_id), (hash_of(request.answer), verdict.answer_hash)]
        known = [(asked, judged) for asked, judged in pairs if asked and judged]
        for asked, judged in known:
            if asked != judged:
                raise DataError(
                    f"{self.origin}: the judge's reply for {brief(request.id)} is about another answer "
                    f"({brief(judged)}) than that of the predictions ({brief(asked)}); needed replies about them"
                )
        with self._lock:
            self.unattributed += not known

    def _write(self, reply: Verdict) -> None:
        if self.record is None:
            return
        line = {"id": reply.id, "run": reply.run, "attempt": reply.attempt, "model": reply.model}
        files.append_json_lines(self.record, [{**line, "answer_hash": reply.answer_hash, "reply": reply.text}])


def read_verdicts(path: Path, official: Callable[[Row], Iterable[Verdict]] | None = None) -> Iterator[Verdict]:
    """The replies of a record: rows with `id` or `question_id`, `reply` or `content`; run, attempt, model if known.

    Args:
        path: The record.
        official: Reads a row of a benchmark's own .json file, where it has one.
    """
    for row in read_rows(path):
        if official is not None and path.suffix == ".json":
            yield from official(row)
            continue
        fields = row.fields
        name = next((name for name in ("question_id", "id") if name in fields), None)
        key = row.key if row.key is not None else identity(fields[name], row.where) if name else ""
        text = next(
            (fields[name] for name in ("reply", "content", "review", "response", "text", "value") if name in fields),
            None,
        )
        if not key or not isinstance(text, str):
            raise DataError(f"{row.where}: found {names_of(fields)}, needed an id and the judge's reply as text")
        run, attempt = (whole_number(fields.get(name, 0), row.where, name) for name in ("run", "attempt"))
        model, answer_hash, answer_id = (str(fields.get(name, "")) for name in ("model", "answer_hash", "answer2_id"))
        yield Verdict(key, text, run, attempt, model, answer_hash, answer_id)
