"""From a name to a folder: the table of sources, what is there, and the command."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import json
import os
import re
import socket
import subprocess
import sys
import tarfile

import pytest

import adml.data.fetch.download as downloading
from adml.cli import main
from adml.data.fetch.download import download, look
from adml.data.fetch.sources import SOURCES, Source, find_source
from adml.data.fetch.transfer import Known
from adml.errors import DataError, UsageError

DIGITS = {"sha256": 64, "md5": 32}


def archive_of(name: str, body: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(body)
        tar.addfile(info, io.BytesIO(body))
    return file.getvalue()


BODY = archive_of("set/a.txt", b"a")


@pytest.fixture
def source(site) -> Source:
    """A source on the site, with a checksum."""
    url = site.put("/files/set.tar.gz", BODY)
    known = Known(len(BODY), f"sha256:{hashlib.sha256(BODY).hexdigest()}")
    return Source("a-set", "A set", "CC0", "https://example.org", (url,), "set.tar.gz", known)


@pytest.fixture
def no_socket(monkeypatch):
    def opened(*arguments, **options):
        raise AssertionError("a socket was opened")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, opened)


def test_every_source_is_whole():
    names = [source.name for source in SOURCES]
    assert len(set(names)) == len(names) and "archives" not in names
    assert len({source.file_name for source in SOURCES}) == len(names)
    for source in SOURCES:
        assert source.licence and source.title and source.page.startswith("https://")
        assert all(
            re.fullmatch(r"https://[\w./-]+\.(tar\.gz|tar\.bz2|zip)", u) for u in source.urls
        )
        size_bytes, checksum = source.known.size_bytes, source.known.checksum
        assert size_bytes is None or 1e8 < size_bytes < 4e10
        if checksum is not None:
            algorithm, _, digits = checksum.partition(":")
            assert re.fullmatch("[0-9a-f]+", digits) and len(digits) == DIGITS[algorithm]
            assert size_bytes and source.checked_by == algorithm
    sums = [source.known.checksum for source in SOURCES if source.known.checksum]
    assert len(set(sums)) == len(sums)


def test_an_unknown_name_tells_the_nearest():
    with pytest.raises(UsageError, match=r"Nearest: librispeech-dev-clean.*--list"):
        find_source("librispech-dev-clean")
    with pytest.raises(UsageError, match="Nearest: .*musan"):
        find_source("?")


def test_a_source_comes_to_its_folder(site, source, tmp_path, patience):
    assert look(source, tmp_path).text == "missing"
    folder = download(source, tmp_path, patience=patience)
    assert (folder / "set" / "a.txt").read_text() == "a"
    note = json.loads((folder / "source.json").read_text())
    assert note["licence"] == "CC0" and note["checksum"] == source.known.checksum
    assert download(source, tmp_path, patience=patience) == folder == tmp_path / "a-set"
    assert len(site.asked) == 1


def test_each_stage_is_told_and_taken_up(site, source, tmp_path, patience):
    site.script = [site.cut(50)]
    with pytest.raises(DataError):
        download(source, tmp_path, patience=dataclasses.replace(patience, attempts=1))
    state = look(source, tmp_path)
    assert state.missing and state.text == f"begun: 50 of {len(BODY)} bytes"
    state = look(dataclasses.replace(source, known=Known()), tmp_path)
    assert state.text == "begun: 50 of ? bytes"
    download(source, tmp_path, patience=patience)
    (tmp_path / "a-set").rename(tmp_path / "elsewhere")
    state = look(source, tmp_path)
    assert not state.missing and "fetched, to be unpacked" in state.text
    state.archive.rename(tmp_path / "whole")
    state.archive.write_bytes(BODY[:-1])
    cut = look(source, tmp_path)
    assert cut.missing and f"has {len(BODY) - 1} of {len(BODY)} bytes" in cut.text
    state.archive.write_bytes(b"")
    assert look(dataclasses.replace(source, known=Known()), tmp_path).missing
    (tmp_path / "whole").replace(state.archive)
    download(source, tmp_path, patience=patience)
    assert look(source, tmp_path).text.startswith("unpacked in")
    assert [asked for _, asked in site.asked] == [None, "bytes=50-"]


def test_a_folder_of_another_kind_is_refused(source, tmp_path, patience):
    (tmp_path / "a-set").mkdir()
    with pytest.raises(DataError, match=r"no source\.json in it"):
        download(source, tmp_path, patience=patience)


def test_a_mirror_is_asked_first(site, source, tmp_path, patience):
    site.put("/mirror/set.tar.gz", BODY)
    download(source, tmp_path, mirror=site.address + "/mirror/", patience=patience)
    assert [path for path, _ in site.asked] == ["/mirror/set.tar.gz"]


def test_without_a_published_checksum_the_note_holds_the_received_one(
    source, tmp_path, patience, caplog
):
    caplog.set_level("INFO")
    folder = download(dataclasses.replace(source, known=Known()), tmp_path, patience=patience)
    note = json.loads((folder / "source.json").read_text())
    assert note["checksum"] == source.known.checksum
    assert "no published checksum; the sha256 received is written" in caplog.text
    assert "Licence: CC0" in caplog.text


def test_the_command_fetches(source, tmp_path, patience, monkeypatch, capsys):
    """Over http, which the command itself never allows."""
    monkeypatch.setattr("adml.data.fetch.sources.SOURCES", (source,))
    call = ["data", "download", "a-set", "--out", str(tmp_path)]
    assert main(call) == 2
    assert "is http, not https" in capsys.readouterr().err
    allowing = functools.partial(downloading.fetch, patience=patience)
    monkeypatch.setattr(downloading, "fetch", lambda *call: allowing(*call[:3]))
    assert main(call) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'a-set'}\n"
    assert main([*call, "--offline", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"a-set": f"unpacked in {tmp_path / 'a-set'}"}


WATCHED = """
import sys
sys.addaudithook(lambda event, _: sys.exit(event) if event.startswith("socket.") else None)
from adml.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(("option", "code"), [("--offline", 3), ("--list", 0)])
def test_a_process_that_fetches_nothing_opens_no_socket(tmp_path, option, code):
    """Also not when it imports, as this one did long ago."""
    process = subprocess.run(
        [sys.executable, "-c", WATCHED, "data", "download", "musan", option, "--out", "nowhere"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode == code, process.stderr
    assert "musan" in process.stdout


def test_offline_opens_no_socket(tmp_path, capsys, no_socket):
    call = ["data", "download", "musan", "speechocean762", "--offline", "--out", str(tmp_path)]
    assert main(call) == 3
    told = capsys.readouterr()
    assert told.out == "musan: missing\nspeechocean762: missing\n"
    assert "Missing in" in told.err and not list(tmp_path.iterdir())
    for name in ("musan", "speechocean762"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "source.json").write_text("{}")
    assert main(call) == 0
    with pytest.raises(AssertionError, match="a socket was opened"):
        main(["data", "download", "ljspeech", "--out", str(tmp_path)])


def test_the_list_names_all_with_size_checksum_and_licence(capsys, no_socket):
    assert main(["data", "download", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [source.name for source in SOURCES]
    (musan,) = (line for line in lines if line.startswith("musan"))
    assert "11.1" in musan and "md5" in musan and "CC BY 4.0" in musan
    (ocean,) = (line for line in lines if line.startswith("speechocean762"))
    assert "first receipt" in ocean and "?" in ocean
    assert main(["data", "download", "--list", "musan", "--json"]) == 0
    (musan,) = json.loads(capsys.readouterr().out)
    assert musan["known"]["size_bytes"] == 11086114085 and musan["name"] == "musan"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "No corpus is named"),
        (["mussan"], "Nearest: musan"),
        (["musan", "--mirror", "http://example.org"], "Expected: https://"),
    ],
)
def test_wrong_usage(arguments, said, capsys, no_socket):
    assert main(["data", "download", *arguments]) == 2
    assert said in capsys.readouterr().err
