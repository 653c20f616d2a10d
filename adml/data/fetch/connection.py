"""Ask a server for a file or the rest of it, and believe only an answer that fits the question."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http.client import responses
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from adml import __version__
from adml.data.fetch.parts import Origin
from adml.errors import UsageError

_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 5
_BUSY = (429, 500, 502, 503, 504)
_ASKS = 3
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_PAGE = re.compile(rb"\s*(<!--|<\?xml|<!doctype\s+html|<html|<head)", re.IGNORECASE)
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class Cut(Exception):
    """The connection ended before the file did: worth another try."""


class Mixed(Exception):
    """What would come does not continue what is there: worth another try from the start."""


class Refused(Exception):
    """This address does not give the file: worth another address."""


@dataclass(frozen=True)
class Patience:
    """How long and how often a server is asked.

    `timeout_s` seconds of silence end a connection; `attempts` times in all a file is asked for at
    one address, `backoff_s` seconds apart at first and twice as many after each; `allow_http`
    lets http through to this machine itself, for tests.
    """

    timeout_s: float = 30.0
    attempts: int = 8
    backoff_s: float = 1.0
    allow_http: bool = False


@dataclass(frozen=True)
class Answer:
    """An answer that fits: its bytes begin at `start`, and belong to the file of `origin`."""

    response: requests.Response
    start: int
    origin: Origin


def check_address(url: str, *, allow_http: bool = False) -> None:
    """Refuse an address that is not https.

    Raises:
        UsageError: it is not.
    """
    if fault := _address_fault(url, allow_http):
        raise UsageError(f"The address {url} {fault}. Expected: https://... Give such an address.")


def _address_fault(url: str, allow_http: bool) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        return f"cannot be read ({error})"
    if not host:
        return "names no server"
    if parts.scheme == "https" or (parts.scheme == "http" and allow_http and host in _LOOPBACK):
        return ""
    return f"is {parts.scheme or 'nothing'}, not https"


def open_session(patience: Patience) -> requests.Session:
    """A session that asks a busy server again, `_ASKS` times in all."""
    retry = Retry(
        total=_ASKS - 1,
        read=0,
        redirect=0,
        status_forcelist=_BUSY,
        allowed_methods={"GET"},
        backoff_factor=patience.backoff_s,
        raise_on_status=False,
        # a server may not make us wait for hours
        respect_retry_after_header=False,
    )
    session = requests.Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    session.headers["User-Agent"] = f"adml/{__version__}"
    # the bytes of the file itself: its length, ranges and checksum are those of no other form
    session.headers["Accept-Encoding"] = "identity"
    return session


def ask(
    session: requests.Session, url: str, patience: Patience, start: int, validator: str | None
) -> requests.Response:
    """Ask for a file from byte `start` on, and follow where the server leads.

    Args:
        session: of `open_session`.
        url: checked address.
        patience: timeouts.
        start: first byte wanted.
        validator: what the file must still be, or the server sends it whole.

    Raises:
        Cut: no answer came.
        Refused: the server leads nowhere, or not to https.
    """
    headers = {"Range": f"bytes={start}-"} if start else {}
    if start and validator:
        headers["If-Range"] = validator
    seen = [url]
    while True:
        try:
            response = session.get(
                seen[-1],
                headers=headers,
                stream=True,
                allow_redirects=False,
                timeout=patience.timeout_s,
            )
        except (requests.ConnectionError, requests.Timeout) as error:
            inner = error.args[0] if error.args else error
            raise Cut(f"no answer: {getattr(inner, 'reason', inner)}") from error
        except (requests.RequestException, ValueError) as error:
            raise Refused(f"cannot be asked: {error}") from error
        if response.status_code not in _REDIRECTS:
            return response
        response.close()
        seen.append(_led_to(seen, response.headers.get("Location"), patience))


def _led_to(seen: list[str], location: str | None, patience: Patience) -> str:
    if not location:
        raise Refused("leads on without saying where to")
    address = urljoin(seen[-1], location)
    if fault := _address_fault(address, patience.allow_http):
        raise Refused(f"leads to {address}, which {fault}")
    if address in seen:
        raise Refused(f"leads in a circle: {' -> '.join([*seen, address])}")
    if len(seen) > _MOST_REDIRECTS:
        raise Refused(f"leads on more than {_MOST_REDIRECTS} times")
    return address


def understand(
    response: requests.Response,
    url: str,
    start: int,
    before: Origin | None,
    expected_bytes: int | None,
) -> Answer:
    """What an answer holds, told from its status and headers.

    Args:
        response: of `ask`.
        url: that was asked first.
        start: first byte that was asked for.
        before: what is there already, where `start` is above 0.
        expected_bytes: length of the whole file, where it is known.

    Raises:
        Mixed: it is a part of another file, or another part.
        Refused: it is an error, a page, empty, or a file of another length.
    """
    status, headers = response.status_code, response.headers
    if start and status == 416:
        raise Mixed("has no such part any more")
    if status not in (200, 206):
        raise Refused(f"answers {status} {response.reason or responses.get(status, '')}".rstrip())
    if headers.get("Content-Type", "").split(";")[0].strip().lower() == "text/html":
        raise Refused("sends an HTML page in place of the file")
    validator = _validator(headers)
    if status == 206:
        total = _continued(headers.get("Content-Range", ""), start, before)
        if before and url == before.url and validator != before.validator:
            raise Mixed("has another version of the file by now")
    else:
        start, total = 0, _length(headers)
    if expected_bytes is not None and total not in (None, expected_bytes):
        raise Refused(f"has a file of {total} bytes; expected {expected_bytes}")
    if total == 0:
        raise Refused("has an empty file")
    total = expected_bytes if total is None else total
    return Answer(response, start, Origin(url, validator, total))


def _continued(content_range: str, start: int, before: Origin | None) -> int:
    """Length of the whole file that an answer of status 206 continues."""
    if not start:
        raise Refused("sends a part of the file that was asked for whole")
    match = _RANGE.fullmatch(content_range.strip())
    first, last, total = map(int, match.groups()) if match else (-1, -1, -1)
    if first != start or not first <= last < total:
        raise Mixed(f"sends {content_range!r} when asked from byte {start} on")
    if before and before.total_bytes not in (None, total):
        raise Mixed(f"has {total} bytes by now, not {before.total_bytes}")
    return total


def _length(headers) -> int | None:
    text = headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


def _validator(headers) -> str | None:
    """A strong ETag, or the time of the last change: what If-Range may hold."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified")


def is_page(first_bytes: bytes) -> bool:
    """Whether a file begins as an HTML or XML page does."""
    return bool(_PAGE.match(first_bytes[:512]))
