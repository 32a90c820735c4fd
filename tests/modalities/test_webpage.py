"""Web pages: drawn by a browser that is shut off, told in words; the browser of these tests is a script."""

import stat
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modalink import modalities
from modalink.errors import MediumError
from modalink.testing import check_modality

PAGE = """<html><head><title>Unseen</title><style>p {color: red}</style></head>
<body><h1>Sale &amp; more</h1><p>Apples <b>3</b> pears</p><script>alert("no")</script><ul><li>one<li>two</ul></body></html>"""
BROWSER = f"""#!{sys.executable} -SE
import base64, html, pathlib, re, sys
from urllib.parse import unquote, urlsplit
own = pathlib.Path(__file__).parent
own.joinpath("arguments").write_text("\\n".join(sys.argv[1:]))
page = pathlib.Path(unquote(urlsplit(sys.argv[-1]).path)).read_text(encoding="utf-8")
own.joinpath("page.html").write_text(page)
if own.joinpath("broken").exists():
    sys.exit("no usable sandbox")
(target,) = (a.partition("=")[2] for a in sys.argv if a.startswith("--screenshot="))
picture = re.search(r"data:image/png;base64,([A-Za-z0-9+/=]+)", html.unescape(page))
png = base64.b64decode(picture[1]) if picture else own.joinpath("blank.png").read_bytes()
pathlib.Path(target).write_bytes(png)
"""


@pytest.fixture
def browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a browser that shows the page's first picture, or a grey window; it writes down what it is told."""
    folder = tmp_path / "browser"
    folder.mkdir()
    script = folder / "chromium"
    script.write_text(BROWSER)
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    Image.new("RGB", (1024, 1024), "grey").save(folder / "blank.png")
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_it_keeps_the_promises_of_all(browser):
    check_modality(modalities.get("webpage"))


def test_a_page_is_its_picture_and_the_words_that_are_seen(browser, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(PAGE)
    page = modalities.get("webpage").open(path)
    assert page.text == "Sale & more\nApples 3 pears\none\ntwo"
    assert (page.extent, np.asarray(page.read()).shape) == ("1024 x 1024 px", (1024, 1024, 3))


def test_the_browser_is_shut_off(browser):
    hostile = """<p>x</p></iframe><script>1</script><img src="http://10.0.0.1/a.png">" onload="1"""
    modalities.get("webpage").read(hostile.encode())
    told = (browser / "arguments").read_text().splitlines()
    for flag in (
        "--blink-settings=scriptEnabled=false",
        "--proxy-server=http://127.0.0.1:9",
        "--proxy-bypass-list=<-loopback>",
        "--host-resolver-rules=MAP * ~NOTFOUND",
    ):
        assert flag in told
    assert told[-1].startswith("file:///") and not [flag for flag in told if "no-sandbox" in flag]
    page = (browser / "page.html").read_text()
    assert page.index("default-src 'none'; img-src data:") < page.index("<iframe sandbox ")
    (inner,) = page.split('srcdoc="')[1:]
    assert inner.count("<") == 1 and inner.count('"') == 1  # the page is one attribute, up to the frame's own end


def test_without_a_browser_and_when_it_fails_the_words_say_so(browser, tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    path.write_text(PAGE)
    (browser / "broken").touch()
    with pytest.raises(MediumError, match=r"page.html: .*/chromium did not draw it: no usable sandbox"):
        modalities.get("webpage").read(path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MediumError, match=r"page.html: needs Chromium to be drawn, and none of chromium, .*; install"):
        modalities.get("webpage").read(path)


class _Site(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(302 if self.path == "/away" else 200)
        if self.path == "/away":
            self.send_header("Location", "http://192.0.2.1/")
        self.end_headers()
        self.wfile.write(PAGE.encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def address():
    with HTTPServer(("127.0.0.1", 0), _Site) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{site.server_port}"
        site.shutdown()


def test_nothing_is_fetched_unless_a_setting_asks_for_it(browser, address, monkeypatch):
    page = modalities.get("webpage")
    with pytest.raises(MediumError, match="the setting `web` is off: save the page") as error:
        page.open(address)
    assert error.value.reason == "remote"
    monkeypatch.setenv("MODALINK_WEB", "loopback")
    assert page.open(address).text.startswith("Sale & more") and page.read(address).size == (1024, 1024)
    for far in (
        "http://192.0.2.1/",
        "http://127.0.0.1.example.com/",
        "https://localhost@example.com/",
        f"{address}/away",
    ):
        with pytest.raises(MediumError, match="the setting `web` is loopback"):
            page.open(far)
    assert not (browser / "arguments").read_text().count(address)


@pytest.mark.parametrize(
    "mark", ["<![[", "<![if IE]>", "<![CDATA[x]]>", "<![%name[", "<!ELEMENT br EMPTY>", "<![", "<!", "<?"]
)
def test_marks_that_are_no_html_hide_at_most_what_follows_up_to_a_bracket(mark: str) -> None:
    text = modalities.get("webpage").open(f"<p>before</p>{mark}<p>after</p><p>last</p>".encode()).text  # type: ignore[attr-defined]
    assert text.startswith("before") and text.endswith("last")
