"""How sure a system is that a medium shows what was asked for: the probability that its answer begins with yes.

Source: Lin et al. 2024, Evaluating text-to-visual generation with image-to-text generation (VQAScore), equation 1.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from modalink.conversation import Conversation, Text, Turn
from modalink.errors import OptionError, PromptError, brief
from modalink.evaluation.made.extracting import OnTask, extract, store_of
from modalink.evaluation.question import PreparedQuestion
from modalink.inference import Engine
from modalink.model import System
from modalink.scoring.made_media import MadeMedium

SPELLINGS = {"yes": ("yes", "Yes"), "no": ("no", "No")}


def first_tokens(system: System, words: Sequence[str]) -> list[int]:
    """The tokens with which answers of these words begin, as the system's template writes them.

    Raises:
        PromptError: The template opens answers otherwise than it writes them.
    """
    asked = (Turn("user", (Text("x"),)),)
    prompt = system.prepare(Conversation(asked), reply=True).input_ids
    found = []
    for word in words:
        whole = system.prepare(Conversation((*asked, Turn("assistant", (Text(word),))))).input_ids
        encoder_decoder = system.model.config.is_encoder_decoder
        behind = system.processor.tokenizer(word, add_special_tokens=False).input_ids if encoder_decoder else None
        if behind is None and list(whole[: len(prompt)]) != list(prompt):
            raise PromptError("its template opens answers otherwise than it writes them, so that none has a beginning")
        found.append(int(behind[0] if behind is not None else whole[len(prompt)]))
    return found


def yes_and_no(system: System) -> list[int]:
    """The first tokens of yes, in its spellings.

    Raises:
        PromptError: No begins with the same token as yes.
    """
    yes, no = (set(first_tokens(system, spellings)) for spellings in SPELLINGS.values())
    if yes & no:
        raise PromptError("an answer of yes begins with the same token as one of no: its probability says nothing")
    return sorted(yes)


def probabilities_of_yes(
    system: System, prepared: Sequence[PreparedQuestion], batch: int = 16
) -> Float[np.ndarray, "n 1"]:
    """How sure the system is that the answer to each question begins with yes.

    Args:
        system: The system, which reads what is shown.
        prepared: The questions.
        batch: How many are asked together.
    """
    tokens, engine = yes_and_no(system), Engine(system, batch=batch)
    prompts = [system.prepare(one.conversation(), reply=True) for one in prepared]
    return engine.first_log_probabilities(prompts)[:, tokens].exp().sum(1, keepdim=True).double().cpu().numpy()


def ask_itself(
    system: System,
    results: Path,
    modality: str,
    made: Sequence[MadeMedium],
    question: str,
    weights: str,
    batch: int,
    on_task: OnTask,
) -> None:
    """Ask the system whether each medium shows its caption, and keep how sure it is.

    Args:
        system: The system.
        results: The folder of results.
        modality: What was made.
        made: The media.
        question: What is asked, with `{modality}` and `{caption}` to be filled in.
        weights: Hash of the system's weights.
        batch: How many are asked together.
        on_task: Hears how far it is.

    Raises:
        OptionError: The question has no place for the caption.
        PromptError: Its template does not tell where an answer begins.
    """
    if "{caption}" not in question:
        raise OptionError(f"option question: found {brief(question)!r}, needed {{caption}} in it")
    words = question.replace("{modality}", modality)
    there = [one for one in made if one.file]
    prepared = [
        PreparedQuestion(one.id, words.replace("{caption}", one.caption), ((modality, results / one.file),))
        for one in there
    ]
    store = store_of(results, "yes", "the system itself", weights, question=words)
    extract(
        store,
        "made",
        [one.id for one in there],
        prepared,
        lambda some: probabilities_of_yes(system, some, batch),
        on_task,
    )
