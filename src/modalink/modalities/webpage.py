"""Web pages: HTML, seen as Chromium draws it, its words beside the picture.

A page shows what stands in it: no picture or style of another file, none from a network, and no script runs. The page
itself is read from a file, or from an address where the setting `web` allows that.
"""

from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from modalink import files
from modalink.files import Damaged
from modalink.modalities import _browser, _drawn, _fetching
from modalink.roles import MediumHandle

TOLD = 4000
"""Most characters of a page that are told."""


def _parse(content: bytes, damaged: Damaged) -> str:
    page = content.decode("utf-8-sig", "replace")
    if not _browser.text_of(page)[1]:
        raise damaged("holds no tag of HTML; give a saved page")
    return page


def _tell(page: str) -> str:
    """The words that are seen of it."""
    return _browser.text_of(page)[0][:TOLD]


def _draw(page: str) -> Image.Image:
    with Image.open(BytesIO(_browser.screenshot(page, "webpage")), formats=("PNG",)) as image:
        return image.convert("RGB")


def _form(page: str, suffix: str) -> bytes:
    return page.encode()


def _example(number: int) -> Image.Image:
    """A page that is one picture of noise: as it is drawn, without a browser."""
    coarse = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    image, out = Image.fromarray(coarse).resize(_browser.SIZE, Image.Resampling.NEAREST), BytesIO()
    image.save(out, "PNG")
    url = files.data_url("image/png", out.getvalue())
    image.info[DRAWING.name] = f'<body style="margin:0"><img src="{url}">'
    return image


def _open(source: Any, name: str | None = None) -> MediumHandle:
    if isinstance(source, str) and source.lower().startswith(_fetching.SCHEMES):
        name = name or source
        source = _fetching.fetched(source, name, _drawn.MAX_BYTES)
    return DRAWING.open(source, name)


DRAWING = _drawn.Drawing("webpage", _parse, _draw, _tell, _form, _browser.SIZE)
RECORD = replace(_drawn.record(DRAWING, _example, (".html", ".htm"), ".html"), open=_open)
