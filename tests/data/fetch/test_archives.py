"""Archives come out whole into a new folder, or not at all; none writes anywhere else."""

from __future__ import annotations

import gzip
import io
import os
import random
import resource
import stat
import tarfile
import warnings
import zipfile
from pathlib import Path

import pytest

from adml.data.fetch.archives import Limits, unpack
from adml.data.fetch.parts import sole_writer
from adml.errors import DataError, UsageError

FILES = {
    "set/README.txt": b"read me",
    "set/train/a.wav": random.Random(1).randbytes(30_000),
    "set/train/\u00e9t\u00e9.wav": random.Random(2).randbytes(4_000),
    "set/empty": b"",
}
KINDS = ("tar", "tar.gz", "tar.bz2", "tar.xz", "zip")


def member(name: str, body: bytes = b"", **fields) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(body)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, body


def make_tar(path: Path, members, kind: str = "gz", **options) -> Path:
    with tarfile.open(path, f"w:{kind}", **options) as tar:
        for info, body in members:
            tar.addfile(info, io.BytesIO(body) if info.isreg() else None)
    return path


def make_zip(path: Path, members) -> Path:
    """From (name, body, Unix mode or None)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body, mode in members:
            info = zipfile.ZipInfo("x")
            info.filename = info.orig_filename = name
            info.compress_type = zipfile.ZIP_DEFLATED
            if mode is not None:
                info.create_system, info.external_attr = 3, mode << 16
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of a name that is there twice
                archive.writestr(info, body)
    return path


def make(path: Path, kind: str) -> Path:
    if kind == "zip":
        return make_zip(path, [(name, body, None) for name, body in FILES.items()])
    members = [member("./set", type=tarfile.DIRTYPE)]
    members += [member(f"./{name}", body) for name, body in FILES.items()]
    return make_tar(path, members, kind.partition(".")[2])


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def out(tmp_path) -> Path:
    folder = tmp_path / "work" / "out"
    folder.parent.mkdir()
    return folder


def refused(archive: Path, out: Path, said: str, limits: Limits | None = None) -> None:
    """The archive is refused in these words, and nothing is left but the lock."""
    with pytest.raises(DataError, match=said) as error:
        unpack(archive, out, limits)
    assert str(archive) in str(error.value)
    assert [path.name for path in out.parent.iterdir()] == ["out.lock"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_comes_out_whole(tmp_path, out, kind):
    archive = make(tmp_path / "archive", kind)
    assert unpack(archive, out, notes={"note.txt": "of here\n"}) == len(FILES)
    assert contents(out) == {**FILES, "note.txt": b"of here\n"}
    assert {path.name for path in out.parent.iterdir()} == {"out", "out.lock"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_archive_is_told_wherever_it_was_cut(tmp_path, out, kind):
    whole = make(tmp_path / "whole", kind).read_bytes()
    archive = tmp_path / "archive"
    ends = [0, 1, 5, 20, 300, 512, len(whole) // 2, len(whole) - 5, len(whole) - 1]
    if kind == "tar":  # its padding may be missing, its end may not; also between two members
        ends = [*ends[:-2], *range(1024, 37 * 1024, 512)]
    for end in ends:
        archive.write_bytes(whole[:end])
        refused(archive, out, "is damaged.*fetch it anew")


@pytest.mark.parametrize("kind", KINDS[1:])
def test_a_flipped_bit_is_told(tmp_path, out, kind):
    files = {f"set/{number}": random.Random(number).randbytes(300_000) for number in range(4)}
    if kind == "zip":
        archive = make_zip(tmp_path / "a", [(*item, None) for item in files.items()])
    else:
        members = [member(*item) for item in files.items()]
        archive = make_tar(tmp_path / "a", members, kind.partition(".")[2])
    body = bytearray(archive.read_bytes())
    body[len(body) // 2 + 100_000] ^= 16
    archive.write_bytes(body)
    refused(archive, out, "is damaged" + (" at or after 'set/2'" if kind == "zip" else ""))


def test_the_checksum_behind_the_last_member_counts(tmp_path, out):
    """It lies farther behind than a reader of tar looks."""
    whole = make(tmp_path / "whole", "tar").read_bytes() + bytes(500_000)
    packed = bytearray(gzip.compress(whole))
    packed[-6] ^= 1
    (tmp_path / "a").write_bytes(packed)
    refused(tmp_path / "a", out, "is damaged: CRC")
    packed[-6] ^= 1
    (tmp_path / "a").write_bytes(packed)
    assert unpack(tmp_path / "a", out) == len(FILES)


def test_what_is_no_archive(tmp_path, out):
    (tmp_path / "page").write_text("<html>no</html>" * 100)
    refused(tmp_path / "page", out, "is damaged")
    refused(tmp_path / "nothing", out, "is not there")
    (tmp_path / "zeros").write_bytes(bytes(10240))
    refused(tmp_path / "zeros", out, "holds no file")
    folders = make_zip(tmp_path / "folders", [("set/", b"", None)])
    refused(folders, out, "holds no file")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"type": tarfile.SYMTYPE, "linkname": "a"}, "neither a file nor a folder"),
        ({"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "neither a file"),
        ({"type": tarfile.LNKTYPE, "linkname": "set/a"}, "neither a file"),
        ({"type": tarfile.LNKTYPE, "linkname": "../a"}, "neither a file"),
        ({"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}, "neither a file"),
        ({"type": tarfile.BLKTYPE}, "neither a file"),
        ({"type": tarfile.FIFOTYPE}, "neither a file"),
        ({"type": b"Z"}, "neither a file"),
    ],
)
def test_a_member_that_is_no_file(tmp_path, out, fields, said):
    members = [member("set/a", b"a"), member("set/bad", **fields), member("set/bad/b", b"b")]
    refused(make_tar(tmp_path / "a", members), out, f"'set/bad', which.*{said}")


@pytest.mark.parametrize(
    "mode", [stat.S_IFLNK | 0o777, stat.S_IFCHR | 0o666, stat.S_IFIFO | 0o666, stat.S_IFDIR | 0o777]
)
def test_a_member_of_a_zip_that_is_no_file(tmp_path, out, mode):
    archive = make_zip(tmp_path / "a", [("set/a", b"a", None), ("set/bad", b"/etc", mode)])
    refused(archive, out, "'set/bad', which is neither a file")


UNFIT = {
    "/etc/x": "absolute",
    "//etc/x": "absolute",
    "../x": "leads out",
    "set/../../x": "leads out",
    "set/..": "leads out",
    "set\\..\\x": "not for names",
    "C:/x": "absolute",
    "set/a\nb": "not for names",
    "/".join("abcdefghijklmnopq"): "deeper than 16",
    "n" * 256: "longer than 255",
    "\u00e9" * 128: "longer than 255",
}


@pytest.mark.parametrize("name", UNFIT)
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_name_that_is_unfit(tmp_path, out, name, kind):
    if kind == "tar":
        archive = make_tar(tmp_path / "a", [member("set/a", b"a"), member(name, b"b")])
    else:
        archive = make_zip(tmp_path / "a", [("set/a", b"a", None), (name, b"b", None)])
    refused(archive, out, UNFIT[name])
    assert not (tmp_path / "x").exists() and not (tmp_path / "work" / "x").exists()


def test_a_folder_that_is_unfit(tmp_path, out):
    members = [member("../x", type=tarfile.DIRTYPE)]
    refused(make_tar(tmp_path / "a", members), out, "leads out")
    refused(make_zip(tmp_path / "b", [("../x/", b"", None)]), out, "leads out")


def test_names_that_are_not_unicode(tmp_path, out):
    archive = make_tar(tmp_path / "a", [member("set/\udcff", b"a")], format=tarfile.GNU_FORMAT)
    refused(archive, out, "not UTF-8")


@pytest.mark.parametrize(
    "names",
    [
        ("set/a", "set/a"),
        ("set/a", "./set//a"),
        ("set/a", "set/A"),
        ("set/stra\u00dfe", "set/STRASSE"),
        ("set/\u00e9", "set/e\u0301"),
        ("set/a", "Set/b"),
        ("set/a/b", "set/a"),
        ("set/a/b", "set/A"),
        ("set/a", "set/a/b"),
        ("set/a", "set/A/b"),
    ],
)
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_names_that_clash(tmp_path, out, names, kind):
    if kind == "tar":
        archive = make_tar(tmp_path / "a", [member(name, b"a") for name in names])
    else:
        archive = make_zip(tmp_path / "a", [(name, b"a", None) for name in names])
    refused(archive, out, "there twice|clashes with another")


def test_a_folder_may_be_named_again(tmp_path, out):
    folder = member("set", type=tarfile.DIRTYPE)
    members = [folder, member("set/a", b"a"), folder, member("set/b", b"b")]
    assert unpack(make_tar(tmp_path / "a", members), out) == 2


@pytest.mark.parametrize("kind", KINDS[1:])
def test_a_bomb_is_stopped_early(tmp_path, out, kind):
    body = bytes(15_000_000)
    if kind == "zip":
        archive = make_zip(tmp_path / "a", [("set/zeros", body, None)])
    else:
        archive = make_tar(tmp_path / "a", [member("set/zeros", body)], kind.partition(".")[2])
    refused(archive, out, "'set/zeros', which brings it to [0-9]+ bytes, above the")


def test_a_zip_that_understates_what_it_holds(tmp_path, out):
    """The directory says 10 bytes, the stream holds more: its checksum does not agree."""
    archive = make_zip(tmp_path / "a", [("set/a", bytes(1000), None)])
    body = archive.read_bytes()
    archive.write_bytes(body.replace((1000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    refused(archive, out, "is damaged at or after 'set/a'")


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (Limits(members=4), "one more than the 4 members"),
        (Limits(total_bytes=30_000), "above the 30000"),
        (Limits(depth=2), "deeper than 2"),
        (Limits(name_bytes=5), "longer than 5"),
    ],
)
@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_limits(tmp_path, out, kind, limits, said):
    if kind == "zip" and limits.members == 4:
        limits, said = Limits(members=3), "one more than the 3 members"
    refused(make(tmp_path / "a", kind), out, said, limits)


def test_a_sparse_file_and_a_locked_zip(tmp_path, out):
    info, _ = member("set/a", type=tarfile.GNUTYPE_SPARSE)
    refused(make_tar(tmp_path / "a", [(info, b"")], format=tarfile.GNU_FORMAT), out, "neither a")
    archive = make_zip(tmp_path / "b", [("set/a", b"abc", None)])
    body = bytearray(archive.read_bytes())
    for start, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        body[body.index(start) + offset] |= 1
    archive.write_bytes(body)
    refused(archive, out, "is damaged at or after 'set/a'.*encrypted")


def test_permissions_are_those_of_any_new_file(tmp_path, out):
    members = [member("set/a", b"a", mode=0o6777, uid=1, gid=1, mtime=1)]
    unpack(make_tar(tmp_path / "a", members), out)
    (tmp_path / "plain").touch()
    made, plain = (out / "set" / "a").stat(), (tmp_path / "plain").stat()
    assert (made.st_mode, made.st_uid) == (plain.st_mode, plain.st_uid)


def test_an_existing_target_is_left_alone(tmp_path, out):
    archive = make(tmp_path / "a", "tar.gz")
    out.mkdir()
    with pytest.raises(UsageError, match="is there already"):
        unpack(archive, out)
    assert not contents(out)
    out.rmdir()
    os.symlink(tmp_path / "nowhere", out)
    with pytest.raises(UsageError, match="is there already"):
        unpack(archive, out)
    out.unlink()
    with sole_writer(out), pytest.raises(UsageError, match="Another process"):
        unpack(archive, out)


def test_what_a_killed_call_left_is_replaced(tmp_path, out):
    (out.parent / "out.part" / "set").mkdir(parents=True)
    (out.parent / "out.part" / "set" / "README.txt").write_text("half")
    unpack(make(tmp_path / "a", "zip"), out)
    assert contents(out) == FILES


def test_a_full_disk_is_told(tmp_path, out):
    archive = make_tar(tmp_path / "a", [member("set/a", random.Random(1).randbytes(3_000_000))])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, hard))
    try:
        with pytest.raises(DataError, match="takes no more"):
            unpack(archive, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in out.parent.iterdir()] == ["out.lock"]
