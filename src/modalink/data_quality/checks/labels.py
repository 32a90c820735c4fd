"""What training would learn of each sample, and what it would cut off."""

from collections.abc import Iterator
from typing import Any, Literal

from modalink.data_quality.check import Check, CheckConfig, Context, Fault
from modalink.data_quality.sample import Sample
from modalink.errors import DataError, PromptError
from modalink.model import IGNORED, ModalinkProcessor, Prepared


class LabelsConfig(CheckConfig):
    """Settings of the check of labels, which needs a recipe: its template, tokenizer, encoders and `max_tokens`."""

    kind: Literal["labels"] = "labels"

    def lacks(self, context: Context) -> str:
        """A recipe."""
        return "" if context.processor is not None else "a recipe, which makes prompts: --recipe RECIPE"

    def begin(self, context: Context) -> Check:
        """The check."""
        assert context.processor is not None
        return _Labels(context.processor, context)


class _Labels(Check):
    def __init__(self, processor: ModalinkProcessor, context: Context) -> None:
        self._processor, self._most, self._template = processor, context.max_tokens, context.template
        self._tokens = self._learned = self._cut = 0

    def look(self, sample: Sample) -> Iterator[Fault]:
        if sample.conversation is None:
            return
        try:
            whole = self._processor.prepare(sample.conversation, template=self._template)
            kept = self._limited(sample, whole)
        except (DataError, PromptError) as error:
            yield Fault.of(sample, "prompt", str(error).removeprefix(f"{sample.id}: "))
            return
        learned, lost = _labels(kept), _labels(whole) - _labels(kept)
        self._tokens += len(kept.input_ids)
        self._learned += learned
        self._cut += lost
        if not learned:
            yield Fault.of(sample, "no_labels", "nothing of it is learned")
        elif kept.cut:
            cut = f"{kept.cut} of {len(whole.input_ids)} tokens are cut off at {self._most}"
            yield Fault.of(sample, "text_cut", f"{cut}, {lost} of {learned + lost} that are learned")

    def facts(self) -> dict[str, Any]:
        """Shares of tokens that are learned, and of labels that are cut off."""
        labels = self._learned + self._cut
        return {
            "share of tokens learned": self._learned / self._tokens if self._tokens else 0.0,
            "share of labels cut": self._cut / labels if labels else 0.0,
        }

    def _limited(self, sample: Sample, whole: Prepared) -> Prepared:
        if self._most is None or len(whole.input_ids) <= self._most or sample.conversation is None:
            return whole
        return self._processor.prepare(sample.conversation, max_tokens=self._most, template=self._template)


def _labels(prepared: Prepared) -> int:
    return sum(label != IGNORED for label in prepared.labels)
