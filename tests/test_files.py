"""Files are whole or not there."""

from __future__ import annotations

import pytest

from adml.errors import UsageError
from adml.files import write_atomically


def test_writing_is_atomic(tmp_path):
    path = tmp_path / "a.txt"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two" and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(UsageError, match="Cannot write"):
        write_atomically(path / "below_a_file.txt", b"three")
