"""One document of the network, where the machine's settings allow that."""

import ipaddress
import urllib.request
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit

from modalink.errors import MediumError
from modalink.settings import run_settings

_SECONDS = 20
SCHEMES = ("http://", "https://")


def fetched(url: str, label: str, max_bytes: int) -> bytes:
    """The bytes at an address.

    Raises:
        MediumError: The setting `web` does not allow it, or it cannot be fetched.
    """
    opener = urllib.request.build_opener(_Redirects(label), urllib.request.ProxyHandler({} if _is_here(url) else None))
    _check(url, label)
    try:
        with opener.open(url, timeout=_SECONDS) as answer:
            content: bytes = answer.read(max_bytes + 1)
    except MediumError:  # of a redirect
        raise
    except (URLError, OSError, ValueError) as error:
        raise MediumError(label, "unreadable", f"cannot be fetched: {getattr(error, 'reason', error)}") from None
    if len(content) > max_bytes:
        raise MediumError(label, "too_large", f"holds more than {max_bytes:,} bytes, which is the most that is read")
    return content


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows only to where the setting allows."""

    def __init__(self, label: str) -> None:
        self._label = label

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        _check(newurl, self._label)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check(url: str, label: str) -> None:
    allowed = run_settings().web
    if not url.lower().startswith(SCHEMES) or allowed == "off" or (allowed == "loopback" and not _is_here(url)):
        detail = f"is at {url[:100]}, and the setting `web` is {allowed}: save the page and give its file, or set "
        raise MediumError(label, "remote", detail + "MODALINK_WEB=loopback (this machine) or any")


def _is_here(url: str) -> bool:
    """Whether an address is one of this machine's own; names are not looked up, except `localhost`."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
