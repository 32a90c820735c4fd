"""The held-out numbers of the tiny world in words, each beside its baselines."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from modalink.scoring.measures import Measure, Wanted, look_up, read_measures

_ANSWERS = {
    "majority": "most frequent answer",
    "no_image": "same model, no picture",
    "empty_image": "same model, empty picture",
}
_CAPTIONS = {"caption_no_image": "same model, no picture"}
_DRAWINGS = {"caption_handover": "own text encoder, replied words", "text_encoder": "own text encoder, true caption"}
_OWN_PICTURES = {"robustness.clean": "the world's own pictures"}
_OUTSIDE = {
    "outside.questions_declined": Wanted("questions from outside, declined in words", "no picture shown"),
    "outside.questions_declined_with_picture": Wanted("the same beside a picture, declined in words", "a scene shown"),
    "inside_declined": Wanted("questions about its world, declined wrongly", "should be 0"),
    "outside.pictures_answered": Wanted("pictures from outside, answered without a crash"),
    "outside.pictures_sensible": Wanted(
        "pictures from outside, answered in whole known words", "cut or broken words fail"
    ),
    "outside.messages_answered": Wanted(
        "odd messages, answered or refused in words", "empty, huge, other scripts, code"
    ),
}


_OTHERS = {
    "video": "Videos",
    "audio": "Sounds",
    "points": "Point clouds",
    "across": "Across modalities",
}
_PLACES = {
    "locate": ("Boxes", "boxes that overlap the object, IoU >= 0.5"),
    "region": ("What a box holds", "right names of what is in a box"),
}
_MADE = {
    "video": "requested objects with the right shape, colour and action",
    "audio": "requested notes with the right timbre, pitch, motion and length",
    "points": "requested solids with the right form, colour and size",
}
_BLIND = {"majority": "most frequent answer", "blind": "same model, nothing shown"}


def headline(heldout: Mapping[str, Any]) -> list[Measure]:
    """The numbers that say it all."""
    drawn = "requested objects drawn in the right place, colour and shape"
    return read_measures(
        heldout,
        {
            "vqa": Wanted("Questions", "right answers to questions about pictures", _paths(_ANSWERS)),
            "caption_attributes": Wanted("Captions", "attributes of objects described rightly", _paths(_CAPTIONS)),
            **{
                f"others.{key}.questions": Wanted(name, "right answers to questions", _others(f"{key}.questions"))
                for key, name in _OTHERS.items()
            },
            **{f"places.{kind}": Wanted(*words, _places(kind)) for kind, words in _PLACES.items()},
            "drawn_objects": Wanted("Drawings", drawn, _paths(_DRAWINGS)),
            **{
                f"made.{key}.parts": Wanted(f"{_OTHERS[key]} made", words, _made(f"{key}.parts"))
                for key, words in _MADE.items()
            },
        },
    )


def by_kind(heldout: Mapping[str, Any]) -> list[Measure]:
    """Questions by kind."""
    kinds = heldout.get("vqa_by_kind", {})
    return read_measures(
        heldout, {f"vqa_by_kind.{kind}": Wanted(kind, "", _paths(_ANSWERS, f"_by_kind.{kind}")) for kind in kinds}
    )


def others_by_kind(heldout: Mapping[str, Any]) -> dict[str, list[Measure]]:
    """Questions about each other modality and across modalities by kind, with the captions of each."""
    tables = {}
    for key, name in _OTHERS.items():
        kinds = look_up(heldout, f"others.{key}.by_kind") or {}
        wanted = {f"others.{key}.by_kind.{kind}": Wanted(kind, "", _others(f"{key}.by_kind.{kind}")) for kind in kinds}
        wanted[f"others.{key}.caption_attributes"] = Wanted("captions, attributes")
        if measures := read_measures(heldout, wanted):
            tables[name] = measures
    return tables


def caption_details(heldout: Mapping[str, Any]) -> list[Measure]:
    """What captions get right, part by part."""
    attributes = {f"caption_by_attribute.{name}": Wanted(name) for name in heldout.get("caption_by_attribute", {})}
    return read_measures(
        heldout,
        {
            **attributes,
            "caption_objects": Wanted("whole object"),
            "caption_counts": Wanted("number of objects"),
            "unseen.caption_attributes": Wanted("attributes of compositions never seen"),
        },
    )


def drawing_details(heldout: Mapping[str, Any]) -> list[Measure]:
    """What drawings get right, part by part."""
    attributes = {
        f"drawn_by_attribute.{name}": Wanted(name, "", _paths(_DRAWINGS, f"_by_attribute.{name}"))
        for name in heldout.get("drawn_by_attribute", {})
    }
    return read_measures(
        heldout,
        {
            **attributes,
            "drawn_pictures": Wanted("whole picture", "", _paths(_DRAWINGS, "_pictures")),
            "unseen.drawn_objects": Wanted("compositions never seen"),
            "drawn_replies": Wanted("replies that ask for a picture"),
        },
    )


def made_details(heldout: Mapping[str, Any]) -> dict[str, list[Measure]]:
    """What clips, sounds and point clouds get right that were made, part by part."""
    tables = {}
    for key in _MADE:
        names = look_up(heldout, f"made.{key}.by_attribute") or {}
        wanted = {
            f"made.{key}.by_attribute.{name}": Wanted(name, "", _made(f"{key}.by_attribute.{name}")) for name in names
        }
        wanted[f"made.{key}.media"] = Wanted("the whole, nothing else in it", "", _made(f"{key}.media"))
        wanted[f"made.{key}.replies"] = Wanted("replies that make it")
        if measures := read_measures(heldout, wanted):
            tables[_OTHERS[key]] = measures
    return tables


class RendererRow(NamedTuple):
    """What a renderer's pictures leave of the accuracy: the accuracy, and its share of that with the world's own."""

    accuracy: Measure
    kept: Measure


def by_renderer(heldout: Mapping[str, Any]) -> list[RendererRow]:
    """One row for each other renderer; none where robustness was not measured."""
    rows = []
    for name in look_up(heldout, "robustness.vqa") or {}:
        wanted = Wanted(in_words(name), "", _OWN_PICTURES)
        rows.append(
            RendererRow(*read_measures(heldout, {f"robustness.{key}.{name}": wanted for key in ("vqa", "kept")}))
        )
    return rows


def out_of_distribution(heldout: Mapping[str, Any]) -> list[Measure]:
    """What is replied to things from outside the world."""
    return read_measures(heldout, {f"robustness.{path}": wanted for path, wanted in _OUTSIDE.items()})


def in_words(name: str) -> str:
    """A key in words: `large_picture` is `large picture`."""
    return name.replace("jpeg", "JPEG").replace("_", " ")


def _others(path: str) -> dict[str, str]:
    return {f"baselines.others.{key}.{path}": name for key, name in _BLIND.items()}


def _made(path: str) -> dict[str, str]:
    return {f"baselines.made.text_encoder.{path}": "own text encoder, true caption"}


def _places(kind: str) -> dict[str, str]:
    names = {"majority": "most frequent answer, or the best fixed box", "empty_image": "same model, empty picture"}
    return {f"baselines.places.{key}.{kind}": name for key, name in names.items()}


def _paths(baselines: Mapping[str, str], below: str = "") -> dict[str, str]:
    return {f"baselines.{key}{below}": name for key, name in baselines.items()}
