"""A page of HTML as Chromium draws it, shut off from everything but itself."""

import html
import shutil
import subprocess
import tempfile
from html.parser import HTMLParser
from pathlib import Path

from modalink.errors import MediumError

SIZE = (1024, 1024)
"""Width and height of what is drawn of a page."""
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_SECONDS = 60
_DEAD_PROXY = "http://127.0.0.1:9"
_FLAGS = (
    "--headless", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1", "--no-first-run",
    "--disable-extensions", "--disable-sync", "--disable-background-networking", "--disable-component-update",
    "--blink-settings=scriptEnabled=false", f"--proxy-server={_DEAD_PROXY}", "--proxy-bypass-list=<-loopback>",
    "--host-resolver-rules=MAP * ~NOTFOUND", f"--window-size={SIZE[0]},{SIZE[1]}",
)  # fmt: skip
"""Every request goes to a proxy that is none, those to this machine too; no name is looked up; no script runs."""
_RULES = "default-src 'none'; img-src data:; style-src 'unsafe-inline' data:; font-src data:"
"""What a page may load: what stands in it. No file beside it, and none elsewhere."""


def screenshot(page: str, label: str) -> bytes:
    """The page as a PNG.

    Raises:
        MediumError: There is no Chromium, or it draws nothing.
    """
    browser = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if browser is None:
        detail = f"needs Chromium to be drawn, and none of {', '.join(_NAMES[:3])} is on PATH; install one"
        raise MediumError(label, "no_browser", detail)
    with tempfile.TemporaryDirectory(prefix="modalink-") as place:
        # In a frame without rights of its own: it cannot lead the window to a file of this machine.
        frame = f'<iframe sandbox style="border:0;width:100vw;height:100vh" srcdoc="{html.escape(page)}"></iframe>'
        rules = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_RULES}">'
        Path(place, "page.html").write_text(f"<!doctype html>{rules}<body style='margin:0'>{frame}", encoding="utf-8")
        drawn = Path(place, "page.png")
        own = (f"--user-data-dir={place}/profile", f"--screenshot={drawn}", Path(place, "page.html").as_uri())
        try:
            ended = subprocess.run([browser, *_FLAGS, *own], capture_output=True, timeout=_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MediumError(label, "not_drawn", f"{browser} did not draw it: {str(error)[-200:]}") from None
        if not drawn.is_file():
            said = ended.stderr.decode("utf-8", "replace").strip().splitlines()
            cause = said[-1][-200:] if said else f"it ended with exit code {ended.returncode}"
            raise MediumError(label, "not_drawn", f"{browser} did not draw it: {cause}")
        return drawn.read_bytes()


def text_of(page: str) -> tuple[str, bool]:
    """The words of a page, and whether it holds any tag."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return "\n".join(line for line in (" ".join(part.split()) for part in reader.parts) if line), reader.tags > 0


class _Reader(HTMLParser):
    """Collects what is between tags, except what nobody sees."""

    _UNSEEN = ("script", "style", "template", "noscript", "head")
    _LINES = ("p", "div", "br", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "table", "section", "title", "body")

    def __init__(self) -> None:
        super().__init__()
        self.parts, self.tags, self._hidden = [""], 0, 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags += 1
        self._hidden += tag in self._UNSEEN
        if tag in self._LINES:
            self.parts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in self._UNSEEN and self._hidden > 0
        if tag in self._LINES:
            self.parts.append("")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts[-1] += data

    def parse_marked_section(self, i: int, report: bool = True) -> int:
        """What starts with `<![` is a comment to browsers, up to the next `>`; Python's parser fails at some of it."""
        return self.parse_bogus_comment(i, report)
