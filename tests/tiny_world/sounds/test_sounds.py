"""Sounds: notes that can be measured in the samples, splits, and answers that follow from the notes."""

import itertools

import numpy as np
import pytest

from modalink.tiny_world import SPLITS
from modalink.tiny_world.sounds.language import KINDS, describe_sound, sound_questions
from modalink.tiny_world.sounds.notes import (
    MOTIONS,
    ORDINALS,
    PITCHES,
    TIMBRES,
    Note,
    Sound,
    sample_sound,
    split_of,
)
from modalink.tiny_world.sounds.synthesis import HERTZ, MAX_SECONDS, RATE_HZ, SECONDS, play, spans_s


def _alone(**attributes: str) -> Sound:
    given = {"timbre": "flute", "pitch": "medium", "motion": "steady", "length": "long"} | attributes
    return Sound((Note(**given, ordinal="first"),), noise=3)


def _hertz(samples: np.ndarray) -> float:
    """The strongest frequency."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 1 << 15))
    return float(np.fft.rfftfreq(1 << 15, 1 / RATE_HZ)[spectrum.argmax()])


def _heard(sound: Sound, part: slice = slice(None)) -> np.ndarray:
    start, end = spans_s(sound)[0]
    return play(sound)[round(start * RATE_HZ) : round(end * RATE_HZ)][part]


@pytest.mark.parametrize("pitch", PITCHES)
def test_a_steady_flute_has_its_pitch(pitch: str) -> None:
    assert _hertz(_heard(_alone(pitch=pitch))) == pytest.approx(HERTZ[pitch], rel=0.05)


def test_a_note_can_be_played_between_the_pitches() -> None:
    sound = _alone()
    (start, end) = spans_s(sound)[0]
    higher = play(sound, [7.0])[round(start * RATE_HZ) : round(end * RATE_HZ)]
    assert _hertz(higher) == pytest.approx(_hertz(_heard(sound)) * 2 ** (7 / 12), rel=0.01)


def test_a_rising_note_rises_and_a_falling_one_falls() -> None:
    for motion, rises in (("rising", True), ("falling", False)):
        note = _heard(_alone(motion=motion))
        third = len(note) // 3
        assert (_hertz(note[-third:]) > 1.15 * _hertz(note[:third])) == rises
        assert (_hertz(note[:third]) > 1.15 * _hertz(note[-third:])) != rises


def test_a_pulsing_note_is_silent_in_between() -> None:
    def quietest(motion: str) -> float:
        note = _heard(_alone(motion=motion))[800:-800]
        blocks = np.abs(note[: len(note) // 160 * 160]).reshape(-1, 160).max(1)
        return float(blocks.min() / blocks.max())

    assert quietest("pulsing") < 0.1
    assert quietest("steady") > 0.5


def test_timbres_differ_in_how_much_lies_above_the_lowest_frequency() -> None:
    def above(timbre: str) -> float:
        power = np.abs(np.fft.rfft(_heard(_alone(timbre=timbre)))) ** 2
        hertz = np.linspace(0, RATE_HZ / 2, len(power))
        return float(power[hertz > 1.4 * HERTZ["medium"]].sum() / power.sum())

    assert above("flute") < 0.05 < above("buzzer")
    assert above("bell") > 0.1
    # A hiss has no single line: its strongest frequency holds little of it.
    power = np.abs(np.fft.rfft(_heard(_alone(timbre="wind")))) ** 2
    assert power.max() / power.sum() < 0.3


def test_notes_last_as_long_as_they_are_called_and_no_sound_is_too_long() -> None:
    for number in range(300):
        sound = sample_sound(number, "train")
        assert len(play(sound)) <= MAX_SECONDS * RATE_HZ
        spans = spans_s(sound)
        for note, (start, end) in zip(sound.notes, spans, strict=True):
            assert end - start == pytest.approx(SECONDS[note.length], rel=0.09)
        assert all(end < start for (_, end), (start, _) in itertools.pairwise(spans))


@pytest.mark.parametrize("split", SPLITS)
def test_the_same_number_is_the_same_sound(split: str) -> None:
    assert [sample_sound(i, split) for i in range(30)] == [sample_sound(i, split) for i in range(30)]
    assert np.array_equal(play(sample_sound(1, split)), play(sample_sound(1, split)))


def test_training_holds_no_held_out_composition_and_every_pair_of_attributes() -> None:
    heard = {note for number in range(2000) for note in sample_sound(number, "train").notes}
    assert {split_of(note) for note in heard} == {"train"}
    for one, other in (("timbre", "pitch"), ("timbre", "motion"), ("pitch", "motion")):
        pairs = {(getattr(note, one), getattr(note, other)) for note in heard}
        sizes = {"timbre": len(TIMBRES), "pitch": len(PITCHES), "motion": len(MOTIONS)}
        assert len(pairs) == sizes[one] * sizes[other]


def test_held_out_sounds_hold_a_composition_of_their_split_and_none_of_the_other() -> None:
    for split, other in (("validation", "test"), ("test", "validation")):
        for number in range(200):
            splits = {split_of(note) for note in sample_sound(number, split).notes}
            assert split in splits
            assert other not in splits


def test_the_caption_says_every_attribute_in_order() -> None:
    sound = Sound(
        (Note("bell", "low", "rising", "short", "first"), Note("wind", "high", "steady", "long", "second")), noise=0
    )
    assert describe_sound(sound) == "a short low rising bell, then a long high steady wind"


def test_answers_follow_from_the_notes() -> None:
    rng = np.random.default_rng(0)
    seen = set()
    for number in range(300):
        sound = sample_sound(number, "train")
        for question in sound_questions(sound, rng):
            seen.add(question.kind)
            if question.kind == "count" and "do you hear" in question.text:
                assert question.answer == ("zero", "one", "two", "three")[len(sound.notes)]
            if question.kind == "order" and question.text.startswith("does the first note come before"):
                assert question.answer == "yes"
            if question.text == "what plays the first note?":
                assert question.answer == sound.notes[0].timbre
            if question.kind == "existence" and question.text.startswith("do you hear a"):
                words = question.text.rstrip("?").split()[4:]
                there = any(set(words) <= {note.timbre, note.motion} for note in sound.notes)
                assert question.answer == ("yes" if there else "no")
            if question.kind == "comparison" and question.text.startswith("what is higher"):
                ranks = {PITCHES.index(note.pitch) for note in sound.notes if note.timbre == question.answer}
                assert max(ranks) > 0
    assert seen == set(KINDS)
    assert len(ORDINALS) == 3


def test_no_partial_comes_back_from_above_half_the_rate() -> None:
    """The eighth partial of a high buzzer, 8.9 kHz, would sound at 7.1 kHz and fall where the note rises."""
    for noise in range(5):
        samples = play(Sound((Note("buzzer", "high", "steady", "long", "first"),), noise))
        spectrum, hertz = np.abs(np.fft.rfft(samples)), np.fft.rfftfreq(len(samples), 1 / RATE_HZ)
        between = spectrum[(hertz > 6950) & (hertz < 7400)].max()  # the sixth and the seventh lie beside it
        assert between < 0.02 * spectrum[(hertz > 1000) & (hertz < 1200)].max()
