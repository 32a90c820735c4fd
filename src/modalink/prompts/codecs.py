"""The coordinate codecs of published systems, one record each, and the plain ones."""

from modalink.errors import UnknownNameError
from modalink.prompts.coordinates import Codec, Form

_BOX, _POINT = "%s, %s, %s, %s", "%s, %s"
_PLAIN = (Form("[", _BOX, "]"), Form("[", _POINT, "]"))

CODECS: dict[str, Codec] = {
    codec.name: codec
    for codec in (
        # Source: repo Shikra, mllm/dataset/process_function/box_process_function.py, PlainBoxFormatter; pictures are
        # padded to squares, and boxes with them.
        Codec(
            name="shikra",
            forms=(Form("[", "%s,%s,%s,%s", "]"), Form("[", "%s,%s", "]")),
            scale=1,
            decimals=3,
            inside=";",
            seen=True,
        ),
        # Source: repo Qwen-VL, README.md (numbers in [0,1000)); eval_mm/evaluate_grounding.py divides them by 999.
        Codec(
            name="qwen-vl",
            forms=(
                Form("<box>", "(%s,%s),(%s,%s)", "</box>"),
                Form("<quad>", "(%s,%s),(%s,%s),(%s,%s),(%s,%s)", "</quad>"),
            ),
            scale=999,
            phrase=("<ref>", "</ref>"),
            tags=("<ref>", "</ref>", "<box>", "</box>", "<quad>", "</quad>"),
        ),
        # Source: repo MiniGPT-4, eval_scripts/eval_ref.py and datasets of RefCOCO, which cut to whole hundredths.
        Codec(
            name="minigpt-v2",
            forms=(Form("{", "<%s><%s><%s><%s>", "}"),),
            scale=100,
            between="<delim>",
            phrase=("<p>", "</p> "),
            tags=("<p>", "</p>", "<delim>"),
        ),
        # Source: repo CogVLM, README.md (three digits, thousandths) and utils/utils/grounding_parser.py.
        Codec(name="cogvlm", forms=(Form("[[", "%s,%s,%s,%s", "]]"),), scale=1000, largest=999, digits=3, inside=";"),
        # Source: the RefCOCO and Visual Genome parts of LLaVA-1.5's data, whose numbers count in the padded square
        # (haotian-liu/LLaVA, issue 606).
        Codec(name="llava-1.5", forms=(Form("[", _BOX, "]"),), scale=1, decimals=2, between=", ", seen=True),
        Codec(name="unit", forms=_PLAIN, scale=1, decimals=3, between=", "),
        Codec(name="thousand", forms=_PLAIN, scale=1000, between=", "),
        Codec(name="pixel", forms=_PLAIN, scale=None, between=", "),
    )
}


def codec(name: str) -> Codec:
    """A codec by name.

    Raises:
        UnknownNameError: None has that name.
    """
    if name not in CODECS:
        raise UnknownNameError("coordinate codec", name, CODECS)
    return CODECS[name]
