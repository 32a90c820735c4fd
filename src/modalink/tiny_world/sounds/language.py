"""What people say about sounds of the tiny world."""

from collections.abc import Callable

import numpy as np

from modalink.tiny_world.asking import COUNT_WORDS, Question, Way, ask_attribute, ask_each, name_of, pick, yes_no
from modalink.tiny_world.sounds.notes import LENGTHS, MOTIONS, PITCHES, TIMBRES, Note, Sound

KINDS = ("timbre", "pitch", "motion", "length", "count", "order", "existence", "comparison")
_WAYS: tuple[Way, ...] = (
    (("ordinal",), "the {ordinal} note"), (("timbre",), "the {timbre}"), (("pitch",), "the {pitch} note"),
    (("motion",), "the {motion} note"), (("pitch", "timbre"), "the {pitch} {timbre}"),
    (("length", "timbre"), "the {length} {timbre}"),
)  # fmt: skip
_FORMS: tuple[Callable[[Note], str], ...] = (
    lambda n: f"a {n.length} {n.pitch} {n.motion} {n.timbre}",
    lambda n: f"a {n.length} {n.pitch} {n.motion} {n.timbre}",
    lambda n: f"a {n.motion} {n.timbre}, {n.pitch} and {n.length}",
    lambda n: f"a {n.pitch} {n.timbre} note that is {n.length} and {n.motion}",
    lambda n: f"{n.timbre}, {n.pitch}, {n.length}, {n.motion}",
)
_REQUESTS = ("describe the sound.", "what do you hear?", "what is in the sound?", "describe this.")


def describe_sound(sound: Sound, rng: np.random.Generator | None = None) -> str:
    """Write the caption of a sound, its notes in their order; with `rng` in other words."""
    if rng is None:
        return ", then ".join(map(_FORMS[0], sound.notes))
    form, joint = pick(rng, _FORMS), pick(rng, (", then ", "; then ", " and then ", "; "))
    return pick(rng, ("", "", "first ")) + joint.join(map(form, sound.notes))


def sound_caption_request(rng: np.random.Generator) -> str:
    """Ask, in one of some ways, for the caption of a sound."""
    return pick(rng, _REQUESTS)


def sound_questions(sound: Sound, rng: np.random.Generator, kinds: tuple[str, ...] = KINDS) -> list[Question]:
    """Ask one question of every kind that this sound allows, in random order; a yes and a no are equally likely."""
    return ask_each(kinds, _ASKERS, sound, rng)


def _attribute(kind: str, forms: tuple[str, ...]) -> "_Asker":
    return lambda sound, rng: ask_attribute(kind, kind, forms, sound.notes, _WAYS, rng)


def _ask_count(sound: Sound, rng: np.random.Generator) -> Question:
    if rng.random() < 0.6:
        text = pick(rng, ("how many notes are there?", "how many notes do you hear?", "count the notes."))
        return Question("count", text, COUNT_WORDS[len(sound.notes)])
    attribute, values = pick(rng, (("timbre", TIMBRES), ("pitch", PITCHES), ("motion", MOTIONS), ("length", LENGTHS)))
    value = getattr(pick(rng, sound.notes), attribute) if rng.random() < 0.7 else pick(rng, values)
    number = sum(getattr(note, attribute) == value for note in sound.notes)
    return Question("count", f"how many {value} notes are there?", COUNT_WORDS[number])


def _ask_order(sound: Sound, rng: np.random.Generator) -> Question | None:
    if len(sound.notes) < 2:
        return None
    place = int(rng.integers(len(sound.notes) - 1))
    before, after = sound.notes[place], sound.notes[int(rng.integers(place + 1, len(sound.notes)))]
    names = [name_of(sound.notes, note, _WAYS, rng, "ordinal") for note in (before, after)]
    manner = rng.integers(3)
    if manner == 0 and names[0] is not None:
        return Question("order", f"what comes after {names[0]}?", sound.notes[place + 1].timbre, (before,))
    if None in names:
        return None
    swapped = rng.random() < 0.5
    one, other = names[::-1] if swapped else names
    pair = (after, before) if swapped else (before, after)
    if manner == 1:
        return Question("order", f"does {one} come before {other}?", yes_no(not swapped), pair)
    return Question("order", f"what comes first, {one} or {other}?", before.timbre, pair)


def _ask_existence(sound: Sound, rng: np.random.Generator) -> Question:
    attributes, form = pick(rng, _CLAIMS)
    heard = {tuple(getattr(note, attribute) for attribute in attributes) for note in sound.notes}
    claim = pick(rng, sorted(heard))
    near = [(*claim[:i], value, *claim[i + 1 :]) for i, name in enumerate(attributes) for value in _VALUES[name]]
    # A sound may have notes of all pitches: then nothing is missing.
    missed = [other for other in near if other not in heard]
    yes = not missed or rng.random() < 0.5
    return Question("existence", form.format(*(claim if yes else pick(rng, missed))), yes_no(yes))


def _ask_comparison(sound: Sound, rng: np.random.Generator) -> Question | None:
    if len(sound.notes) < 2:
        return None
    a, b = (sound.notes[i] for i in rng.permutation(len(sound.notes))[:2])
    attribute, word, values = pick(rng, (("pitch", "higher", PITCHES), ("length", "longer", LENGTHS)))
    names = [name_of(sound.notes, note, _WAYS, rng, attribute, "timbre") for note in (a, b)]
    if None in names:
        return None
    ranks = [values.index(getattr(note, attribute)) for note in (a, b)]
    if ranks[0] == ranks[1] or a.timbre == b.timbre or rng.random() < 0.3:
        question = f"do {names[0]} and {names[1]} have the same {attribute}?"
        return Question("comparison", question, yes_no(ranks[0] == ranks[1]), (a, b))
    winner = a if ranks[0] > ranks[1] else b
    return Question("comparison", f"what is {word}, {names[0]} or {names[1]}?", winner.timbre, (a, b))


_CLAIMS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("timbre",), "do you hear a {}?"), (("motion",), "is there a {} note?"), (("pitch",), "is there a {} note?"),
    (("pitch", "timbre"), "is there a {} {}?"), (("motion", "timbre"), "do you hear a {} {}?"),
)  # fmt: skip
_VALUES = {"timbre": TIMBRES, "pitch": PITCHES, "motion": MOTIONS, "length": LENGTHS}
_Asker = Callable[[Sound, np.random.Generator], Question | None]
_ASKERS: dict[str, _Asker] = {
    "timbre": _attribute("timbre", ("what plays {}?", "what instrument is {}?", "which instrument plays {}?")),
    "pitch": _attribute("pitch", ("how high is {}?", "what is the pitch of {}?", "is {} low, medium or high?")),
    "motion": _attribute("motion", ("how does {} move?", "is {} steady, rising, falling or pulsing?")),
    "length": _attribute("length", ("how long is {}?", "is {} short or long?")),
    "count": _ask_count,
    "order": _ask_order,
    "existence": _ask_existence,
    "comparison": _ask_comparison,
}
