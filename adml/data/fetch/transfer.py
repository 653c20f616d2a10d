"""Fetch one file: resumed where it was cut, checked, and never made of two versions."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import requests
from tqdm import tqdm
from urllib3.exceptions import HTTPError

from adml.data.fetch.connection import (
    Answer,
    Cut,
    Mixed,
    Patience,
    Refused,
    ask,
    check_address,
    is_page,
    open_session,
    understand,
)
from adml.data.fetch.parts import (
    Known,
    Origin,
    Part,
    beside,
    digest,
    record_checksum,
    recorded_checksum,
    room_on_disk,
    sole_writer,
)
from adml.errors import DataError

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 18
_LONGEST_WAIT_S = 30.0
_ANOTHER = "gave a file of another checksum"


def fetch(
    urls: Sequence[str], target: str | Path, known: Known, patience: Patience | None = None
) -> Path:
    """Bring a file to `target`, from the first address that gives it whole.

    What has come is kept in `NAME.part`, so that a call after an interruption goes on there. A
    target that is there is checked and left alone. Where no checksum is published, the sha256 that
    was received first is kept in `NAME.sha256` and holds from then on.

    Args:
        urls: https addresses of the same file, tried in turn.
        target: path of the file; its folder is made where needed.
        known: what is published of the file.
        patience: timeouts and tries.

    Returns:
        The path.

    Raises:
        UsageError: an address is not https, or another process fetches the file.
        DataError: no address gave it, the disk is full, or another file is at `target`.
    """
    target, patience = Path(target), patience or Patience()
    for url in urls:
        check_address(url, allow_http=patience.allow_http)
    with room_on_disk(target), sole_writer(target):
        checksum = known.checksum or recorded_checksum(target)
        if target.exists():
            _check_present(target, known, checksum)
            return target
        part = Part(target)
        origin = part.origin()
        # an address that has begun the file is the one to go on with
        order = sorted(urls, key=lambda url: origin is None or url != origin.url)
        failures = []
        with open_session(patience) as session:
            for url in order:
                job = _Job(session, url, target, part, known.size_bytes, checksum, patience)
                try:
                    job.run()
                    return target
                except Refused as error:
                    failures.append(f"{url} {error}")
                    if url != order[-1]:
                        logger.warning("%s: %s; trying the next", target.name, failures[-1])
    raise DataError(
        f"{target.name} could not be fetched: {'; '.join(failures)}. Check the network and type "
        "the same again, which goes on where it stopped, or name a mirror."
        f"{_first_time(target, known) if _ANOTHER in failures[-1] else ''}"
    )


def _check_present(target: Path, known: Known, checksum: str | None) -> None:
    """A file that is there is the one that is meant, or an error."""
    size_bytes = target.stat().st_size
    if known.size_bytes is not None and size_bytes != known.size_bytes:
        fault = f"Expected: {known.size_bytes} bytes. Received: {size_bytes}."
    elif checksum is None:
        logger.warning(
            "%s was there already and has no published checksum; it is taken as it is, and its "
            "sha256 is written beside it",
            target,
        )
        record_checksum(target, digest(target, "sha256"))
        return
    else:
        fault = _checksum_fault(target, checksum)
    if fault:
        raise DataError(
            f"{target} is there and is another file. {fault} Move it away to fetch it anew, or "
            f"choose another folder.{_first_time(target, known)}"
        )


def _first_time(target: Path, known: Known) -> str:
    """What to do where the expectation is only that of the first time."""
    if known.checksum is not None:
        return ""
    return (
        f" No checksum is published: if a new version is meant, remove {beside(target, '.sha256')}."
    )


def _checksum_fault(path: Path, checksum: str) -> str:
    algorithm, _, expected = checksum.partition(":")
    received = digest(path, algorithm)
    if received == expected:
        return ""
    return f"Expected: {algorithm} {expected}. Received: {received}."


@dataclass(frozen=True)
class _Job:
    """One file from one address."""

    session: requests.Session
    url: str
    target: Path
    part: Part
    size_bytes: int | None
    checksum: str | None
    patience: Patience

    def run(self) -> None:
        """Try until the file is whole and checked.

        Raises:
            Refused: this address does not give it.
        """
        trouble, answered = "", False
        for attempt in range(self.patience.attempts):
            if attempt:
                wait_s = min(self.patience.backoff_s * 2 ** (attempt - 1), _LONGEST_WAIT_S)
                logger.info("%s: %s; again in %.0f s", self.target.name, trouble, wait_s)
                time.sleep(wait_s)
            try:
                resumed = self._is_whole()
                if not resumed:
                    answer = self._ask()
                    answered, resumed = True, answer.start > 0
                    with answer.response:
                        self._receive(answer)
                self._accept(resumed)
                return
            except Cut as error:
                trouble = f"{self.url} gives {error}"
                if not answered:
                    raise Refused(f"gives {error}") from error
            except Mixed as error:
                trouble = f"{self.url} {error}; the file is fetched from its beginning"
                self.part.discard()
        raise Refused(f"was asked {self.patience.attempts} times. The last time, {trouble}")

    def _is_whole(self) -> bool:
        """Whether all is there, and was only not yet checked."""
        origin = self.part.origin()
        return origin is not None and self.part.size_bytes == origin.total_bytes

    def _start(self, origin: Origin | None) -> int:
        """From which byte on to ask: after those whose continuation can be told from another's."""
        have = self.part.size_bytes
        if origin is None or have > (origin.total_bytes or have):
            return 0
        own = origin.url == self.url and origin.validator is not None
        judged = self.checksum is not None and self.size_bytes is not None
        return have if own or judged else 0

    def _ask(self) -> Answer:
        origin = self.part.origin()
        start = self._start(origin)
        validator = origin.validator if start and origin.url == self.url else None
        response = ask(self.session, self.url, self.patience, start, validator)
        try:
            answer = understand(
                response, self.url, start, origin if start else None, self.size_bytes
            )
        except (Mixed, Refused):
            response.close()
            raise
        if start and not answer.start:
            logger.info(
                "%s: %s sends the file from its beginning: it has changed there, or parts are not "
                "to be had",
                self.target.name,
                self.url,
            )
        return answer

    def _receive(self, answer: Answer) -> None:
        """Add what comes to the part."""
        start, total = answer.start, answer.origin.total_bytes
        if total is None and self.checksum is None:
            raise Refused("tells no length, and no checksum is published: a cut would not be seen")
        self._need(total or 0)
        chunks = answer.response.raw.stream(_CHUNK_BYTES, decode_content=False)
        try:
            first = next(chunks, b"")
            if not start:
                if is_page(first):
                    raise Refused("sends a page in place of the file")
                self.part.begin(answer.origin)
            bar = tqdm(
                total=total, initial=start, desc=self.target.name, unit="B", unit_scale=True,
                disable=None,
            )  # fmt: skip
            with self.part.path.open("ab") as file, bar:
                for chunk in chain([first], chunks):
                    file.write(chunk)
                    bar.update(len(chunk))
                    if total is not None and file.tell() > total:
                        raise Mixed(f"sends more than the {total} bytes of the file")
        except HTTPError as error:
            have = self.part.size_bytes
            of = "?" if total is None else total
            raise Cut(f"{have} of {of} bytes, and then {type(error).__name__}") from error
        if total is not None and self.part.size_bytes < total:
            raise Cut(f"{self.part.size_bytes} of {total} bytes")

    def _need(self, total_bytes: int) -> None:
        missing = total_bytes - self.part.size_bytes
        free = shutil.disk_usage(self.target.parent).free
        if missing > free:
            raise DataError(
                f"The disk of {self.target} has no room. Expected: {missing} bytes for the rest of "
                f"the file. Received: {free} free. Make room, or choose another folder."
            )

    def _accept(self, resumed: bool) -> None:
        """Check the whole part and move it to its place."""
        if self.checksum is None:
            record_checksum(self.target, digest(self.part.path, "sha256"))
            logger.info(
                "%s has no published checksum; the sha256 received is written beside the file",
                self.target.name,
            )
        elif fault := _checksum_fault(self.part.path, self.checksum):
            self.part.discard()
            kind = Mixed if resumed else Refused
            raise kind(f"{_ANOTHER}. {fault}")
        self.part.finish(self.target)
