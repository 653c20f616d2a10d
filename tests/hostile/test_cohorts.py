"""Cohorts of strangers: used, or refused by name before they fill the memory; nothing is run."""

from __future__ import annotations

import io
import struct
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adml.errors import DataError
from adml.spotting.cohort import Cohort, Table
from adml.spotting.cohort_file import LARGEST_BYTES
from adml.spotting.forecast import Forecast
from adml.spotting.hearing import Heard, Places
from adml.spotting.keyword_file import Keyword, KeywordFile

FEW = settings(max_examples=max(1, settings.default.max_examples // 4))
LENGTHS = Places().lengths
MOST_MEMORY = LARGEST_BYTES // 2
KEYWORDS = KeywordFile("m", (Keyword("go", np.eye(1, 4, dtype=np.float32), (("G", "OW1"),)),))


def arrays(phones: bool = True) -> dict[str, np.ndarray]:
    """Those of a small cohort."""
    rng = np.random.default_rng(0)
    ends = np.repeat(np.arange(130, 200, 10), 2)
    starts = ends - np.tile(LENGTHS[:2], 7)
    told = {
        "table": np.array([[1, 10], [4, 2], [0.5, 0.8], [2, 1.2]]),
        "size": np.array([200, 5.0]),
        "forecast": rng.normal(size=(2, 5)),
        "forecast_words": np.array(50),
        "places_0": np.stack([starts, ends]).astype(np.int32),
        "embeddings_0": rng.integers(-127, 128, (14, 4)).astype(np.int8),
    }
    if phones:
        told["phones_0"] = np.full([200, 40], -3.7, np.float16)
    return told


def packed(values: dict[str, np.ndarray]) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **values)
    return file.getvalue()


def archive(method: int = zipfile.ZIP_DEFLATED, **members: bytes) -> bytes:
    """Members as they are, so that what they hold need not be an array."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as opened:
        for name, content in members.items():
            opened.writestr(f"{name}.npy", content)
    return file.getvalue()


def as_array(shape: str, kind: str = "'<f8'", content: bytes = b"") -> bytes:
    head = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + content


def use_or_refuse(path) -> bool:
    """What is read tells the levels of a keyword; what is not, is named."""
    try:
        cohort = Cohort.read(path)
    except DataError as error:
        assert str(path) in str(error) and len(str(error)) < 1000 and str(error).encode()
        return False
    levels = cohort.levels(KEYWORDS, LENGTHS)
    assert levels.shape == (1, 2) and np.isfinite(levels).all()
    return True


@pytest.mark.parametrize("phones", [True, False])
def test_the_whole_file_is_used(tmp_path, phones):
    (tmp_path / "cohort.npz").write_bytes(packed(arrays(phones)))
    assert use_or_refuse(tmp_path / "cohort.npz")


@FEW
@given(data=st.data())
def test_cohorts_with_other_bytes(tmp_path, soon, data):
    content = bytearray(data.draw(st.sampled_from([packed(arrays()), archive(0, **{
        name: as_array(str(value.shape), repr(value.dtype.str), value.tobytes())
        for name, value in arrays().items()})])))  # fmt: skip
    for _ in range(data.draw(st.integers(1, 3))):
        first = data.draw(st.integers(0, len(content)))
        last = data.draw(st.integers(first, min(len(content), first + 8)))
        content[first:last] = data.draw(st.binary(max_size=8))
    (tmp_path / "cohort.npz").write_bytes(content)
    with soon(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of forms that are older than cohorts
        use_or_refuse(tmp_path / "cohort.npz")


@FEW
@given(data=st.data())
def test_cohorts_with_other_values(tmp_path, soon, data):
    """Within the whole form, so that no checksum or length gives it away."""
    values = arrays(data.draw(st.booleans()))
    name = data.draw(st.sampled_from(sorted(values)))
    change = data.draw(st.sampled_from(["drop", "shape", "kind", "value"]))
    if change == "drop":
        del values[name]
    elif change == "shape":
        shape = data.draw(st.lists(st.integers(0, 50), max_size=3))
        values[name] = np.resize(values[name], shape)
    elif change == "kind":
        values[name] = values[name].astype(data.draw(st.sampled_from(["f8", "u1", "c8", "?", "U"])))
    else:
        place = data.draw(st.integers(0, values[name].size - 1))
        odd = data.draw(st.sampled_from([0, 1, -1, 7, 120, np.nan, np.inf, 2**31 - 1, -(2**31)]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values[name].flat[place] = np.float64(odd).astype(values[name].dtype)
    (tmp_path / "cohort.npz").write_bytes(packed(values))
    with soon():
        use_or_refuse(tmp_path / "cohort.npz")


def understated() -> bytes:
    """A member of a hundred bytes, as its headers say, that unpacks to all that is allowed."""
    whole = archive(table=bytes(LARGEST_BYTES))
    return whole.replace(struct.pack("<I", LARGEST_BYTES), struct.pack("<I", 100))


def many_names() -> bytes:
    """An end that promises more names than the rest of the file is worth."""
    whole = bytearray(packed(arrays()))
    whole[-10:-6] = struct.pack("<I", 1 << 24)
    return bytes(whole)


HARMFUL = {
    "large": (lambda: archive(table=bytes(LARGEST_BYTES + 1)), "unpacked, more than 67,108,864"),
    "large together": (
        lambda: archive(**dict.fromkeys("abcde", bytes(LARGEST_BYTES // 4))), "unpacked, more than"
    ),
    "understated": (understated, "CRC"),
    "bzip2": (lambda: archive(zipfile.ZIP_BZIP2, table=bytes(1000)), "than deflate"),
    "lzma": (lambda: archive(zipfile.ZIP_LZMA, table=bytes(1000)), "than deflate"),
    "many names": (many_names, "of them names"),
    "another end": (lambda: packed(arrays())[:-22] + b"PK\6\7" + bytes(16)
                    + packed(arrays())[-22:], "no archive of arrays"),
    "huge shape": (lambda: archive(table=as_array("(4, 1000000000000)")), "reshape|buffer"),
    "endless shape": (lambda: archive(table=as_array(f"({10**60},)", content=bytes(8))), ""),
    "nested": (lambda: archive(table=as_array("-" * 9000 + "1")), ""),
    "objects": (lambda: archive(table=as_array("(1,)", "'|O'", b"cos\nsystem\n")), "no numbers"),
    "header": (lambda: archive(table=b"\x93NUMPY\2\0" + b"\xff" * 99), "another form"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "told"), HARMFUL.values(), ids=HARMFUL)
def test_cohorts_that_mean_harm_are_refused(tmp_path, soon, make, told):
    path = tmp_path / "cohort.npz"
    path.write_bytes(make())
    tracemalloc.start()
    try:
        with soon(), pytest.raises(DataError, match=f"is no cohort(?s:.*){told}") as caught:
            Cohort.read(path)
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()
    assert len(str(caught.value)) < 1000


def test_a_file_too_large_to_be_looked_at_is_refused(tmp_path):
    path = tmp_path / "cohort.npz"
    with path.open("wb") as file:
        file.truncate(LARGEST_BYTES)
        file.seek(0, io.SEEK_END)
        file.write(packed(arrays())[-22:])
    with pytest.raises(DataError, match="an archive of 67,108,886 bytes"):
        Cohort.read(path)


def test_a_cohort_is_whole_or_not_there(tmp_path, monkeypatch):
    heard = Heard(np.array([0]), np.array([30]), np.eye(1, 4, dtype=np.float32), 0, None, 0)
    table = Table(*arrays()["table"], 200, 5.0)
    cohort = Cohort((heard,), table, Forecast(np.zeros((2, 4)), np.zeros(2), 50))
    path = tmp_path / "cohort.npz"
    cohort.write(path)
    before = path.read_bytes()
    monkeypatch.setattr(np, "savez_compressed", lambda file, **_: file.write(b"half") / 0)
    with pytest.raises(ZeroDivisionError):
        cohort.write(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
