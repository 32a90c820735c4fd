"""What the tiny world knows nothing of: questions, messages and pictures that none of its dialogues hold."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

QUESTIONS = (
    "who discovered penicillin?", "how do i repair a flat tyre?", "what is your favourite colour?",
    "which team won the olympic hockey final?", "is the soup too salty?", "what language do they speak in brazil?",
    "give me some investment advice.", "how tall is mount everest?", "can you fix my laptop?",
    "write a haiku about autumn", "which planet is closest to the sun?", "summarize this article for me",
    "how many legs does a spider have?", "what color is the sky?", "is the teacher wearing a hat?",
    "what brand of shoes is that?", "solve x + 2 = 5", "what sport are they playing?", "how much does a ticket cost?",
    "what is written on the sign?", "is there a giraffe in the zoo?", "how many tourists are on the beach?",
    "where is the nearest pharmacy?", "can you book a flight to tokyo?", "why is water wet?",
    "tell me a story about a dragon.", "recommend a restaurant nearby", "define entropy", "do you like jazz?",
    "what time does the ferry leave?", "is it raining in london?", "what kind of animal is this?",
    "translate hello into french", "what is 12 times 7?", "when was the battle of hastings?",
    "who is the prime minister of japan?", "are the tomatoes ripe?", "play some music please",
    "what does this medicine cure?", "which flower smells best?",
)  # fmt: skip
"""Questions with words that the zoo never taught: about facts, errands, texts, and things that no picture shows."""

MESSAGES = {
    "empty": "",
    "blanks": "   \n ",
    "punctuation": "?!...",
    "ten thousand letters": "a" * 10_000,
    "three thousand words": "what is this? " * 1000,
    "accents": "où est le carré bleu, s'il vous plaît?",
    "japanese": "赤い丸はどこですか？",
    "emoji": "🙂🔴🟦",
    "right to left": "ما لون الدائرة؟",
    "control characters": "\x00\x07\x1b[31m\u200b\ufeff",
    "capitals": "WHAT IS IN THE PICTURE?",
    "digits": "1234567890",
    "code": "select * from users; -- <b>{{x}}</b>",
}
"""Name -> a message that nobody planned for."""

LOOKS = ("describe the picture.", "how many objects are there?", "is there a red circle?")
"""What is asked about a picture from outside the world."""


def pictures() -> dict[str, Image.Image]:
    """Name -> a picture from outside the world: no scene, of other sizes, and in other modes of Pillow."""
    noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    return {
        "landscape": _landscape(),
        "page of text": _drawn((160, 160), "white", _write),
        "checkerboard": _drawn((96, 96), "white", _checker),
        "stripes": _drawn((96, 96), "navy", _stripe),
        "noise": Image.fromarray(noise),
        "gradient": Image.merge("RGB", [Image.linear_gradient("L").rotate(angle) for angle in (0, 90, 180)]),
        "fractal": Image.effect_mandelbrot((160, 120), (-2.2, -1.2, 1.0, 1.2), 40),
        "black": Image.new("RGB", (64, 64)),
        "white": Image.new("RGB", (64, 64), "white"),
        "grey levels": Image.radial_gradient("L"),
        "transparent": Image.new("RGBA", (64, 64), (255, 0, 0, 0)),
        "palette": _landscape().quantize(8),
        "one pixel": Image.new("RGB", (1, 1), "red"),
        "very wide": _drawn((600, 20), "white", _stripe),
        "very large": Image.new("RGB", (3000, 2000), "teal"),
    }


def _landscape() -> Image.Image:
    """Something like a photo: a sky that brightens downwards, a sun, hills, all out of focus."""
    sky = Image.linear_gradient("L").resize((160, 120))
    picture = Image.composite(Image.new("RGB", sky.size, "peachpuff"), Image.new("RGB", sky.size, "steelblue"), sky)
    pencil = ImageDraw.Draw(picture)
    pencil.ellipse((110, 18, 136, 44), fill="lightyellow")
    pencil.ellipse((-60, 70, 110, 220), fill="darkolivegreen")
    pencil.ellipse((50, 84, 240, 220), fill="olivedrab")
    return picture.filter(ImageFilter.GaussianBlur(2))


def _drawn(
    size: tuple[int, int], ground: str, draw: Callable[[ImageDraw.ImageDraw, tuple[int, int]], None]
) -> Image.Image:
    picture = Image.new("RGB", size, ground)
    draw(ImageDraw.Draw(picture), size)
    return picture


def _write(pencil: ImageDraw.ImageDraw, size: tuple[int, int]) -> None:
    for y in range(6, size[1], 14):
        pencil.text((6, y), "the quick brown fox jumps", fill="black")


def _checker(pencil: ImageDraw.ImageDraw, size: tuple[int, int]) -> None:
    for x in range(0, size[0], 12):
        for y in range(x // 12 % 2 * 12, size[1], 24):
            pencil.rectangle((x, y, x + 11, y + 11), fill="black")


def _stripe(pencil: ImageDraw.ImageDraw, size: tuple[int, int]) -> None:
    for x in range(0, size[0], 16):
        pencil.rectangle((x, 0, x + 7, size[1]), fill="gold")
