"""modalink's runs as a model of lmms-eval, which finds this file by the entry-point group `lmms_eval.models`.

    python -m lmms_eval --model modalink --model_args run=runs/demo --tasks mme --batch_size 16

Only lmms-eval imports this file; modalink does without it.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import torch
from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms
from lmms_eval.models.registry_v2 import ModelManifest

from modalink.conversation import Conversation, Turn
from modalink.errors import OptionError
from modalink.evaluation.question import text_below_media
from modalink.evaluation.replies import replies
from modalink.inference import load

MANIFEST = ModelManifest(model_id="modalink", chat_class_path=f"{__name__}.ModalinkModel")
"""What the entry point gives to lmms-eval."""

_LONGEST = 1024
"""Tokens of a reply where a task sets no limit."""


class ModalinkModel(lmms):
    """A run that answers the requests of lmms-eval's tasks, greedily.

    Args:
        run: A run folder, or a hub id of a saved system.
        batch_size: Requests that are answered together.
        device: Where to compute; by default an accelerator if there is one, else the CPU.
        max_batch_size: Given to every model; there is no search for a batch size.
    """

    is_simple = False

    def __init__(
        self, run: str, batch_size: int | str = 1, device: str | None = None, max_batch_size: int | str | None = None
    ) -> None:
        super().__init__()
        self.system = load(run, device=device).system
        self.batch_size = int(batch_size)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        device: torch.device = self.system.model.device
        return device

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """One reply a request, in order, up to the task's stop strings.

        Raises:
            OptionError: The task wants replies that are not greedy.
            PromptError: The run does not read a modality that the task shows.
        """
        texts: list[str] = []
        for options, group in groupby(requests, key=lambda request: dict(request.args[2])):
            talks = [self._conversation(request) for request in group]
            length, stop = _length(options), _stop_strings(options)
            generated = replies(self.system, talks, max_new_tokens=length, batch=self.batch_size, stop=stop)
            texts += [reply.text for reply in generated]
        return texts

    def generate_until_multi_round(self, requests: Sequence[Instance]) -> list[str]:
        """Refused: rounds of one task depend on each other."""
        raise NotImplementedError("modalink answers lmms-eval's tasks of one round")

    def loglikelihood(self, requests: Sequence[Instance]) -> list[tuple[float, bool]]:
        """Refused: runs are evaluated by what they say."""
        raise NotImplementedError("modalink answers lmms-eval's tasks with output_type: generate_until")

    def _conversation(self, request: Instance) -> Conversation:
        _, messages_of, _, number, task, split = request.args
        messages = messages_of(self.task_dict[task][split][number])
        talk = Conversation.from_messages(messages, f"{task}, {split} {number}")
        return Conversation(tuple(Turn(turn.role, text_below_media(turn.content)) for turn in talk.turns), talk.id)


def _length(options: Mapping[str, Any]) -> int:
    """The longest reply that a task allows."""
    if options.get("do_sample") or options.get("temperature") or (options.get("num_beams") or 1) > 1:
        raise OptionError(
            f"found generation options {dict(options)}: modalink replies greedily here; add "
            "--gen_kwargs temperature=0,do_sample=False,num_beams=1"
        )
    return int(options.get("max_new_tokens") or _LONGEST)


def _stop_strings(options: Mapping[str, Any]) -> tuple[str, ...]:
    """What ends a task's replies; lmms-eval gives one string or several."""
    until = options.get("until") or ()
    return tuple(filter(None, [until] if isinstance(until, str) else until))
