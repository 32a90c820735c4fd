"""A benchmark made ready for a model: its files found, its questions read and checked."""

import hashlib
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modalink import modalities
from modalink.errors import DataError, OptionError, brief, shown
from modalink.evaluation.layout import DataFolder, find_annotations, find_option_files
from modalink.evaluation.question import PreparedQuestion, Skipped
from modalink.scoring.benchmark import AskingBenchmark, MediaBenchmark, Question
from modalink.scoring.prompts import lettered
from modalink.scoring.registry import load, options_of


@dataclass(frozen=True)
class Dataset:
    """A benchmark with its files found and its questions read.

    Args:
        name: The benchmark's name.
        benchmark: The benchmark.
        given: Its options, as `scoring.score` takes them.
        annotations: The annotation file or folder; None where the benchmark makes its questions itself.
        folder: Where the media are.
        questions: The questions that are scored, all of them.
        prompt: Words instead of the benchmark's own prompt, in which `{question}` and `{options}` are filled in.
    """

    name: str
    benchmark: AskingBenchmark
    given: dict[str, Any]
    annotations: Path | None
    folder: DataFolder | None
    questions: list[Question] = field(repr=False)
    prompt: str = ""

    def prompt_of(self, question: Question) -> str:
        """What the model is asked."""
        if not self.prompt:
            return self.benchmark.prompt(question)
        filled = self.prompt.replace("{options}", lettered(question.choices))
        return filled.replace("{question}", question.text)

    @property
    def options(self) -> Any:
        """The benchmark's options, checked."""
        return options_of(self.benchmark, self.given)

    @property
    def fingerprint(self) -> str:
        """Hash of what is asked: ids, prompts and names of media, not what their files hold."""
        digest = hashlib.sha256()
        for question in self.questions:
            span_s = (question.span_s,) if question.span_s else ()
            content = (question.id, self.prompt_of(question), question.media, *question.shown, *span_s)
            digest.update(repr(content).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def prepared_questions(
        self, reads: Collection[str], limit: int | None = None, partial: bool = False
    ) -> tuple[list[PreparedQuestion], list[Skipped]]:
        """The questions with their files, and those whose files are missing.

        Args:
            reads: Modalities that the model reads.
            limit: How many questions, from the first on; all by default.
            partial: Whether questions may be left out.

        Raises:
            DataError: The model does not read a question's modality, a question cannot be asked, or a file is missing
                and `partial` does not allow it.
        """
        self._check_modalities(reads)
        prepared_questions, missing = [], []
        chosen = self.questions[:limit]
        for question in chosen:
            media, lost = self._media(question)
            if lost:
                missing.append(Skipped(question.id, f"no file for {', '.join(lost)}"))
            else:
                prompt = self.prompt_of(question)
                prepared_questions.append(PreparedQuestion(question.id, prompt, media, question.span_s))
        if missing and (not partial or not prepared_questions):
            some = "; ".join(f"question {brief(skipped.id)}: {brief(skipped.why, 200)}" for skipped in missing[:3])
            where = f" in {self.folder.path}" if self.folder else ""
            raise DataError(
                f"{len(missing)} of {len(chosen)} questions show media that are not{where}: {some}; complete the "
                "folder, or leave them out with --partial"
            )
        return prepared_questions, missing

    def real_media(self, questions: Sequence[Question], partial: bool = False) -> list[Path]:
        """The files of real media that questions name, each once.

        Args:
            questions: Questions of a benchmark of made media.
            partial: Whether files may be missing.

        Raises:
            DataError: A file is missing and `partial` does not allow it, or all are.
        """
        found: dict[Path, None] = {}
        lost: list[str] = []
        for question in questions:
            media, names = self._media(question)
            found |= dict.fromkeys(Path(source) for _, source in media)
            lost += names or ([] if media else [f"question {brief(question.id)}, which names none"])
        if lost and (not partial or not found):
            where = f" in {self.folder.path}" if self.folder else ""
            raise DataError(
                f"{len(lost)} of {len(questions)} prompts have no real {self.benchmark.setup.modality}{where}: "
                f"{'; '.join(brief(name, 120) for name in lost[:3])}; complete the folder, leave them out with "
                "--partial, or give --option real=FOLDER or FILE"
            )
        return list(found)

    def _check_modalities(self, reads: Collection[str]) -> None:
        for question in self.questions:
            modality = question.modality or self.benchmark.setup.modality
            if (question.media or question.shown) and modality not in reads:
                raise DataError(
                    f"{self.benchmark.title}, question {brief(question.id)}: it is about {modality}, and the model "
                    f"reads {' and '.join(reads) or 'text only'}; evaluate a model with inputs.{modality}"
                )

    def _media(self, question: Question) -> tuple[tuple[tuple[str, Path | str], ...], list[str]]:
        """The files that a question shows, and the names that no file has, in words."""
        sources: list[tuple[str, Path | str]] = []
        lost: list[str] = []
        modality = question.modality or self.benchmark.setup.modality
        for names in ((question.media, *question.other_names), *((name,) for name in question.shown)):
            if not (wanted := [name for name in names if name]):
                continue
            found = (self._source(name, modality) for name in wanted)
            source = next((source for source in found if source is not None), None)
            if source is None:
                lost.append(_looked_for(wanted, modality))
            else:
                sources.append((modality, source))
        return tuple(sources), lost

    def _source(self, name: str, modality: str) -> Path | str | None:
        if name.startswith("data:"):
            return name
        return self.folder.medium(name, modalities.get(modality).suffixes) if self.folder else None


def _looked_for(names: Sequence[str], modality: str) -> str:
    """Names that no file has, and the suffixes that were tried where the names have none."""
    suffixes = modalities.get(modality).suffixes
    quoted = " or ".join(map(repr, names))
    if any(Path(name).suffix.lower() in suffixes for name in names):
        return quoted
    return f"{quoted} and {' or '.join(suffixes[:3])}{', ...' if len(suffixes) > 3 else ''}"


def open_dataset(
    name: str,
    data: Path | None = None,
    annotations: Path | None = None,
    split: str = "",
    options: dict[str, Any] | None = None,
    prompt: str = "",
) -> Dataset:
    """Find a benchmark's files and read its questions.

    Args:
        name: The benchmark's name.
        data: Folder with its media and, unless `annotations` are given, its annotation file, under official names.
        annotations: The annotation file or folder.
        split: Which split, where the folder or the annotations hold several.
        options: The benchmark's options, by name.
        prompt: Words instead of the benchmark's own prompt, with `{question}` and `{options}` where these should stand.

    Raises:
        UnknownNameError: There is no such benchmark or option.
        OptionError: The benchmark asks no questions that a reply in words answers, or an option has a wrong value.
        DataError: Files are missing, or questions cannot be asked.
    """
    name, benchmark = load(name)
    if not isinstance(benchmark, AskingBenchmark) or benchmark.setup.why_not_asked:
        why = f"it takes {benchmark.predictions}"
        why = benchmark.setup.why_not_asked if isinstance(benchmark, AskingBenchmark) else why
        raise OptionError(
            f"{benchmark.title} asks a model no questions: {why}; then `modalink score {name} --predictions ... "
            "--annotations ...`"
        )
    given = {**benchmark.setup.options, **(options or {})}
    if split and "split" in benchmark.options.model_fields:
        given["split"], split = split, ""
    folder = DataFolder(data) if data is not None else None
    if folder is not None:
        annotations = annotations or find_annotations(benchmark, folder, split)
        given = find_option_files(benchmark, folder, given, split) | given
    elif not benchmark.setup.generated and not (isinstance(benchmark, MediaBenchmark) and annotations):
        files = " and ".join(benchmark.setup.files[:1]) or "its annotations by --annotations FILE"
        raise OptionError(f"{benchmark.title}: needed --data FOLDER with its media and {files}")
    checked: Any = options_of(benchmark, given)
    source = annotations or Path()
    questions = [question for question in benchmark.questions(source, checked) if question.scored]
    _check(benchmark, questions, source)
    _check_prompt(prompt, questions)
    return Dataset(name, benchmark, given, annotations, folder, questions, prompt)


def of_questions(dataset: Dataset) -> Dataset:
    """The same, refused where it asks for media, which are no answers.

    Raises:
        OptionError: It does.
    """
    if isinstance(dataset.benchmark, MediaBenchmark):
        raise OptionError(
            f"{dataset.benchmark.title} asks for {dataset.benchmark.setup.modality} and not for answers, so that it is "
            f"no measure here; evaluate finished runs: `modalink evaluate RUN --benchmark {dataset.name}`"
        )
    return dataset


def _check_prompt(prompt: str, questions: list[Question]) -> None:
    """Refuse words that would ask all questions alike, or with a misspelt place in them."""
    if unknown := set(re.findall(r"\{(\w+)\}", prompt)) - {"question", "options"}:
        raise OptionError(f"prompt: found {{{min(unknown)}}} in it, needed {{question}} and {{options}} at most")
    if prompt and "{question}" not in prompt and any(question.text for question in questions):
        raise OptionError(f"prompt: found {shown(prompt)}, needed {{question}} in it, where the question stands")


def _check(benchmark: AskingBenchmark, questions: list[Question], source: Path) -> None:
    """Every question must have an id of its own, words, and something to show."""
    if not questions:
        raise DataError(f"{source}: found no questions of {benchmark.title}")
    seen: set[str] = set()
    for question in questions:
        if problem := next(_problems(benchmark, question, seen), ""):
            raise DataError(f"{source}: question {brief(question.id) or '(without id)'}: {problem}")
        seen.add(question.id)


def _problems(benchmark: AskingBenchmark, question: Question, seen: set[str]) -> Iterator[str]:
    setup = benchmark.setup
    if not question.id:
        yield "found no id, needed one"
    if question.id in seen:
        yield "found twice, needed every id once"
    if not question.text.strip() and not setup.wordless:
        hint = "".join(f"; --option {option}=FILE, officially {name}" for option, name in setup.option_files.items())
        hint += f"; needed {setup.beside} beside this file, with its question" if setup.beside else ""
        yield f"found no words to ask{hint}"
    if not question.media and not setup.mixed:
        yield f"names no {question.modality or setup.modality} to show"
