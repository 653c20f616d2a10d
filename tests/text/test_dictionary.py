"""The data g2p_en reads: laid out offline, atomically, by many processes at once."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from adml.text import dictionary

REPOSITORY = Path(__file__).resolve().parents[2]
BLOCKED = textwrap.dedent(
    """
    import socket
    def blocked(*args, **kwargs):
        raise RuntimeError("a socket was opened")
    socket.socket.__init__ = blocked
    socket.create_connection = blocked
    socket.getaddrinfo = blocked
    import sys
    from adml import G2P
    print(" ".join(G2P()("hey bixby zorblax, 24 records")))
    if "nltk" in sys.modules:
        import nltk
        print([path for path in nltk.data.path if "adml" in path])
    """
)
SPOKEN = (
    "HH EY1   B IH1 K S B IY0   Z AO1 R B AH0 L K S   T W EH1 N T IY0   F AO1 R   R EH1 K ER0 D Z"
)


def run_without_network(home: Path) -> subprocess.CompletedProcess:
    keep = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    return subprocess.run(
        [sys.executable, "-c", BLOCKED],
        env=keep | {"HOME": str(home), "PYTHONPATH": str(REPOSITORY), "NLTK_DATA": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def files_under(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_works_with_sockets_blocked_and_an_empty_home(tmp_path):
    done = run_without_network(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [SPOKEN, "[]"]
    assert "ownload" not in done.stdout + done.stderr
    folder = next((tmp_path / ".cache" / "adml").iterdir())
    assert folder.name.startswith("nltk_data-")
    assert len(files_under(folder)) == 5


def test_the_lines_are_in_nltk_format(tmp_path):
    folder = dictionary.seed_nltk_data(tmp_path)
    with zipfile.ZipFile(folder / "corpora" / "cmudict.zip") as archive:
        lines = archive.read("cmudict/cmudict").decode().splitlines()
    assert len(lines) > 130_000
    assert "bixby 1 B IH1 K S B IY0" in lines
    assert "tv 1 T IY1 V IY1" in lines
    assert "tv 2 T EH2 L AH0 V IH1 ZH AH0 N" in lines
    assert not any("#" in line or "(" in line for line in lines)


def test_many_may_seed_at_once_and_nothing_is_left_aside(tmp_path):
    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda _: dictionary.seed_nltk_data(tmp_path), range(4)))
    assert set(folders) == {tmp_path}
    assert not [name for name in files_under(tmp_path) if "/." in name]
    assert len(files_under(tmp_path)) == 5
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in files_under(tmp_path)}
    dictionary.seed_nltk_data(tmp_path)
    assert before == {name: (tmp_path / name).stat().st_mtime_ns for name in before}


def test_a_missing_or_cut_off_file_is_written_anew(tmp_path):
    dictionary.seed_nltk_data(tmp_path)
    archive = tmp_path / "corpora" / "cmudict.zip"
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])
    next(tmp_path.rglob("*.tagdict.json")).unlink()
    dictionary.seed_nltk_data(tmp_path)
    assert archive.read_bytes() == whole
    assert len(files_under(tmp_path)) == 5


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert dictionary.default_folder().parent == tmp_path / "adml"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert dictionary.default_folder().parent == tmp_path / "home" / ".cache" / "adml"
    monkeypatch.setenv("HOME", "")
    assert dictionary.default_folder() is None


def test_an_unwritable_cache_falls_back_to_a_temporary_folder(monkeypatch, tmp_path, caplog):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        folder = dictionary.seed_nltk_data()
    assert "adml-nltk-data-" in folder.name
    assert len(files_under(folder)) == 5
    assert "cannot be written" in caplog.text


def test_g2p_en_itself_says_the_same():
    loaded = dictionary.load_dictionary()
    words = ["hello", "bixby", "o'clock", "wi-fi", "record", "separate", "used", "the", "read"]
    engine = loaded._engine  # g2p_en's own object, called as its own users call it
    with dictionary._nltk_data_path(dictionary.seed_nltk_data()):
        for word in words:
            assert list(loaded.look_up(word)) == engine(word), word
        for word in ["zorblax", "flitching", "quenderly"]:
            assert list(loaded.predict(word)) == engine(word), word


def test_homographs_take_the_commoner_reading():
    loaded = dictionary.load_dictionary()
    expected = {"record": "R EH1 K ER0 D", "use": "Y UW1 Z", "object": "AA1 B JH EH0 K T",
                "read": "R IY1 D", "closer": "K L OW1 S ER0", "house": "HH AW1 S"}  # fmt: skip
    for word, phonemes in expected.items():
        assert " ".join(loaded.look_up(word)) == phonemes


def test_a_missing_data_file_is_explained(monkeypatch, tmp_path):
    monkeypatch.setattr(dictionary.util, "find_spec", lambda name: None)
    with pytest.raises(dictionary.DataError, match="CMU dictionary is missing. Exp.*Install"):
        dictionary.seed_nltk_data(tmp_path)
