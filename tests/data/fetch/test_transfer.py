"""Whatever a server does, a target is one whole version of a file, or it is not there."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import random
import resource
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

import adml.data.fetch.transfer as transfer
from adml.data.fetch.parts import Part, sole_writer
from adml.data.fetch.transfer import Known, fetch
from adml.errors import DataError, UsageError

OLD = random.Random(1).randbytes(5000)
NEW = random.Random(2).randbytes(5000)


def known(body: bytes, algorithm: str = "sha256") -> Known:
    return Known(len(body), f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}")


@pytest.fixture
def target(tmp_path) -> Path:
    return tmp_path / "archives" / "set.tar.gz"


def left(target: Path) -> set[str]:
    return {path.name.removeprefix(target.name) for path in target.parent.iterdir()}


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_a_file_is_fetched_and_then_left_alone(site, target, patience, algorithm):
    url = site.put("/set", OLD)
    assert fetch([url], target, known(OLD, algorithm), patience) == target
    assert target.read_bytes() == OLD and left(target) == {"", ".lock"}
    fetch([url], target, known(OLD, algorithm), patience)
    assert site.asked == [("/set", None)]


@pytest.mark.parametrize("other", [NEW, OLD[:-1]])
def test_another_file_at_the_target_is_refused_and_kept(site, target, patience, other):
    target.parent.mkdir()
    target.write_bytes(other)
    with pytest.raises(DataError, match=r"is another file\. Expected.*Received.*Move it away"):
        fetch([site.put("/set", OLD)], target, known(OLD), patience)
    assert target.read_bytes() == other and not site.asked


def test_a_cut_connection_goes_on_where_it_broke(site, target, patience):
    site.script = [site.cut(1000), site.cut(500)]
    fetch([site.put("/set", OLD)], target, known(OLD), patience)
    assert target.read_bytes() == OLD
    assert [asked for _, asked in site.asked] == [None, "bytes=1000-", "bytes=1500-"]


def test_tries_are_bounded_and_the_next_call_goes_on(site, target, patience):
    url = site.put("/set", OLD)
    site.script = [site.cut(10)] * patience.attempts
    with pytest.raises(DataError, match=r"asked 4 times.*40 of 5000 bytes.*type the same again"):
        fetch([url], target, known(OLD), patience)
    assert left(target) == {".lock", ".part", ".part.json"}
    fetch([url], target, known(OLD), patience)
    assert target.read_bytes() == OLD and site.asked[-1] == ("/set", "bytes=40-")
    assert left(target) == {"", ".lock"}


def test_tries_are_ever_farther_apart(site, target, patience, monkeypatch):
    waits_s = []
    monkeypatch.setattr(transfer.time, "sleep", waits_s.append)
    slow = dataclasses.replace(patience, attempts=8, backoff_s=1.0)
    site.script = [site.cut(10)] * 7
    fetch([site.put("/set", OLD)], target, known(OLD), slow)
    assert waits_s == [1, 2, 4, 8, 16, 30, 30]


def test_a_server_that_never_answered_is_not_waited_for(target, patience, monkeypatch):
    """Not beyond the few tries of the session itself."""
    waits_s = []
    monkeypatch.setattr(transfer.time, "sleep", waits_s.append)
    monkeypatch.setenv("NO_PROXY", "*")
    with pytest.raises(DataError, match="gives no answer: .*refused"):
        fetch(["http://127.0.0.1:9/set"], target, known(OLD), patience)
    assert len(waits_s) <= 2


def test_a_silent_server_is_left_and_asked_again(site, target, patience):
    site.script = [site.stall(2000, 0.6)]
    fetch([site.put("/set", OLD)], target, known(OLD), patience)
    assert target.read_bytes() == OLD and len(site.asked) == 2


def test_an_interrupted_call_keeps_what_it_has(site, target, patience, monkeypatch):
    body = random.Random(3).randbytes(600_000)
    url = site.put("/set", body)

    class Interrupted(transfer.tqdm):
        def update(self, n=1):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(transfer, "tqdm", Interrupted)
        fetch([url], target, known(body), patience)
    have = Part(target).size_bytes
    assert 0 < have < len(body)
    fetch([url], target, known(body), patience)
    assert target.read_bytes() == body and site.asked[-1] == ("/set", f"bytes={have}-")


def begin(site, target, patience, body=OLD, tag='"1"', have=1000, expected=None) -> str:
    """A call that ended early: `have` bytes of `body` are there."""
    url = site.put("/set", body, tag)
    site.script = [site.cut(have)]
    once = dataclasses.replace(patience, attempts=1)
    with pytest.raises(DataError):
        fetch([url], target, expected or Known(), once)
    assert Part(target).path.read_bytes() == body[:have]
    site.asked.clear()
    return url


@pytest.mark.parametrize(
    ("lie", "asked"),
    [
        ("deaf", ["bytes=1000-"]),
        ("unconditional", ["bytes=1000-", None]),
        ("honest", ["bytes=1000-"]),
    ],
)
def test_a_file_that_has_changed_is_fetched_from_its_beginning(site, target, patience, lie, asked):
    url = begin(site, target, patience)
    site.put("/set", NEW, '"2"')
    site.script = [getattr(site, lie)]
    fetch([url], target, Known(), patience)
    assert target.read_bytes() == NEW
    assert [text for _, text in site.asked] == asked


@pytest.mark.parametrize(
    "text",
    ["bytes 0-4999/5000", "bytes 1000-4999/5001", "bytes 1001-4999/5000", "bytes 1000-4999/*",
     "bytes 1000-5000/5000", "", "pages 1000-4999/5000"],
)  # fmt: skip
def test_an_answer_that_does_not_continue_is_not_added(site, target, patience, text):
    url = begin(site, target, patience)
    site.script = [site.ranged(text)]
    fetch([url], target, Known(), patience)
    assert target.read_bytes() == OLD
    assert [asked for _, asked in site.asked] == ["bytes=1000-", None]


def test_a_file_that_has_become_shorter_starts_anew(site, target, patience):
    url = begin(site, target, patience)
    site.put("/set", NEW[:900], '"1"')
    fetch([url], target, Known(), patience)
    assert target.read_bytes() == NEW[:900]


@pytest.mark.parametrize("tag", [None, 'W/"1"'])
def test_without_a_strong_tag_nothing_is_continued_unless_a_checksum_judges(
    site, target, patience, tag
):
    url = begin(site, target, patience, tag=tag)
    fetch([url], target, Known(), patience)
    assert target.read_bytes() == OLD and site.asked == [("/set", None)]
    target.unlink()
    Path(f"{target}.sha256").unlink()
    url = begin(site, target, patience, tag=tag, expected=known(OLD))
    fetch([url], target, known(OLD), patience)
    assert target.read_bytes() == OLD and site.asked == [("/set", "bytes=1000-")]


def test_a_continuation_of_another_file_is_found_by_the_checksum(site, target, patience):
    """The server keeps its tag and its length, and sends other bytes: no header tells."""
    url = begin(site, target, patience, expected=known(NEW))
    site.put("/set", NEW, '"1"')
    fetch([url], target, known(NEW), patience)
    assert target.read_bytes() == NEW
    assert [asked for _, asked in site.asked] == ["bytes=1000-", None]


def test_a_whole_part_is_only_checked(site, target, patience):
    url = begin(site, target, patience)
    Part(target).path.write_bytes(OLD)
    fetch([url], target, Known(), patience)
    assert target.read_bytes() == OLD and not site.asked


@pytest.mark.parametrize("note", [None, "", "[]", '{"url": 1}', "{}"])
def test_a_part_without_a_readable_note_is_not_continued(site, target, patience, note):
    url = begin(site, target, patience)
    path = Path(f"{target}.part.json")
    path.unlink() if note is None else path.write_text(note)
    fetch([url], target, Known(), patience)
    assert target.read_bytes() == OLD and site.asked == [("/set", None)]


def test_no_behaviour_mixes_two_versions(site, tmp_path, patience):
    """Servers that cut, forget ranges, lie about them and change the file, at random."""
    rng, outcomes = random.Random(7), set()
    few = dataclasses.replace(patience, attempts=6)
    for number in range(40):
        target = tmp_path / str(number) / "set"
        url = site.put("/set", OLD, '"1"')

        def change(handler, body, tag):
            site.put("/set", NEW, '"2"')
            site.cut(2000)(handler, body, tag)

        bad = [change, site.deaf, site.ranged("bytes 7-4999/5000"), site.answer(416)]
        bad += [site.unconditional, site.cut(1500), site.cut(3000)]
        site.script = [site.cut(1200), *rng.choices(bad, k=4)]
        with contextlib.suppress(DataError):
            fetch([url], target, Known(), few)
        if target.exists():
            assert target.read_bytes() in (OLD, NEW)
        outcomes.add(target.read_bytes()[:1] if target.exists() else None)
    assert {OLD[:1], NEW[:1]} <= outcomes


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (404, b"", None, "answers 404 Not Found"),
        (206, OLD, None, "a part of the file that was asked for whole"),
        (200, b"<p>", "text/html; charset=utf-8", "an HTML page in place of the file"),
        (200, b"\n <!DOCTYPE html><p>".ljust(5000), None, "sends a page"),
        (200, OLD[:-1], None, "has a file of 4999 bytes; expected 5000"),
        (200, NEW, None, "of another checksum. Expected: sha256"),
    ],
)
def test_an_address_that_does_not_give_the_file_is_passed_over(
    site, target, patience, status, body, kind, said, caplog
):
    one, two = site.put("/one", OLD), site.put("/two", OLD)
    bad = site.answer(status, body, Content_Type=kind)
    site.script = [bad]
    with pytest.raises(DataError) as error:
        fetch([one], target, known(OLD), patience)
    assert said in str(error.value) and not target.exists()
    assert left(target) == {".lock"} and len(site.asked) == 1
    site.script = [bad]
    fetch([one, two], target, known(OLD), patience)
    assert target.read_bytes() == OLD and said in caplog.text


def test_a_mirror_goes_on_with_what_another_began(site, target, patience):
    """Only where a checksum judges the whole."""
    for body, expected in ((OLD, known(OLD)), (NEW, Known())):
        one = begin(site, target, patience, body=body, expected=expected)
        two = site.put("/two", body, '"other"')
        del site.files["/set"]
        fetch([two, one], target, expected, patience)
        assert target.read_bytes() == body
        asked = "bytes=1000-" if expected.checksum else None
        assert site.asked == [("/set", "bytes=1000-"), ("/two", asked)]
        target.unlink()


def test_a_server_that_is_busy(site, target, patience):
    url = site.put("/set", OLD)
    site.script = [site.answer(503), site.answer(429, Retry_After="1000")]
    fetch([url], target, known(OLD), patience)
    assert target.read_bytes() == OLD and len(site.asked) == 3
    target.unlink()
    site.script = [site.answer(503)] * 3
    with pytest.raises(DataError, match="answers 503"):
        fetch([url], target, known(OLD), patience)


def test_redirects_are_followed_within_bounds(site, target, patience):
    url = site.put("/set", OLD)
    site.put("/a", b"")
    site.script = [site.answer(302, Location="/b"), site.answer(307, Location=url)]
    site.put("/b", b"")
    fetch([site.address + "/a"], target, known(OLD), patience)
    assert target.read_bytes() == OLD and [path for path, _ in site.asked] == ["/a", "/b", "/set"]


@pytest.mark.parametrize(
    ("locations", "said"),
    [
        (["/b", "/a"], "leads in a circle: .*/a -> .*/b -> .*/a"),
        (["/b", "/c", "/d", "/e", "/f", "/g"], "leads on more than 5 times"),
        ([None], "without saying where to"),
        (["http://example.org/set"], "leads to http://example.org/set, which is http, not https"),
        (["ftp://127.0.0.1/set"], "which is ftp, not https"),
        (["https://[/set"], "cannot be"),
    ],
)
def test_redirects_that_lead_nowhere(site, target, patience, locations, said):
    for letter in "abcdefg":
        site.put(f"/{letter}", b"")
    site.script = [site.answer(302, Location=location) for location in locations]
    with pytest.raises(DataError, match=said):
        fetch([site.address + "/a"], target, known(OLD), patience)


@pytest.mark.parametrize("url", ["http://127.0.0.1/x", "ftp://a/x", "a/x", "https://", "https://["])
def test_addresses_are_https(target, url):
    with pytest.raises(UsageError, match="Expected: https://"):
        fetch([url], target, Known())
    assert not target.parent.exists()


def test_the_first_receipt_holds_where_no_checksum_is_published(site, target, patience, caplog):
    url = site.put("/set", b"")
    with pytest.raises(DataError, match="has an empty file"):
        fetch([url], target, Known(), patience)
    site.put("/set", OLD)
    fetch([url], target, Known(), patience)
    note = Path(f"{target}.sha256")
    assert note.read_text() == f"{hashlib.sha256(OLD).hexdigest()}  set.tar.gz\n"
    target.unlink()
    site.put("/set", NEW)
    with pytest.raises(DataError, match=r"another checksum.*new version is meant, remove .*\.sha"):
        fetch([url], target, Known(), patience)
    target.write_bytes(NEW)
    with pytest.raises(DataError, match=r"if a new version is meant, remove .*\.sha256"):
        fetch([url], target, Known(), patience)
    note.unlink()
    fetch([url], target, Known(), patience)
    assert "taken as it is" in caplog.text and hashlib.sha256(NEW).hexdigest() in note.read_text()
    note.write_text("yes\n")
    with pytest.raises(DataError, match="holds no checksum"):
        fetch([url], target, Known(), patience)


def test_no_length_and_no_checksum(site, target, patience):
    """A connection that is closed after half the file looks as one after the whole."""
    url = site.put("/set", OLD)
    site.script = [site.answer(200, OLD[:2500], Content_Length=None)] * 2
    with pytest.raises(DataError, match="tells no length"):
        fetch([url], target, Known(), patience)
    fetch([url], target, known(OLD), patience)
    assert target.read_bytes() == OLD


def test_more_than_the_file_is_refused(site, target, patience):
    url = site.put("/set", OLD)
    site.script = [site.answer(200, OLD + b"more", Content_Length=None)]
    fetch([url], target, known(OLD), patience)
    assert target.read_bytes() == OLD and len(site.asked) == 2


def test_one_process_at_a_time(site, target, patience):
    with sole_writer(target), pytest.raises(UsageError, match="Another process writes"):
        fetch([site.put("/set", OLD)], target, known(OLD), patience)


def test_a_full_disk_is_told(site, target, patience, monkeypatch):
    url = site.put("/set", OLD)
    with monkeypatch.context() as patch, pytest.raises(DataError, match=r"5000 bytes.* 4999 free"):
        patch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=4999))
        fetch([url], target, known(OLD), patience)
    body = random.Random(4).randbytes(3_000_000)
    url = site.put("/set", body)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, hard))
    try:
        with pytest.raises(DataError, match=r"takes no more: .*Make room"):
            fetch([url], target, known(body), patience)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert Part(target).size_bytes
    fetch([url], target, known(body), patience)
    assert target.read_bytes() == body and site.asked[-1][1]
