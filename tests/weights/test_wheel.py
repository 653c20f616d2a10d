"""What lies in adml/weights is in a wheel and in a source distribution, file by file."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OFFLINE = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
SDIST = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"


@pytest.fixture(scope="module")
def built(tiny_export, tmp_path_factory):
    """Names of the files of weights, of a wheel, and of a source distribution."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(
        ROOT / "adml", source / "adml", ignore=shutil.ignore_patterns("__pycache__", "weights")
    )
    folder = source / "adml" / "weights"
    shutil.copytree(tiny_export / "export", folder / "export")
    for name in ("export/cohort.npz", "MODEL_CARD.md", "model.json"):
        (folder / name).write_text("{}")
    files = {path.relative_to(source).as_posix() for path in folder.rglob("*") if path.is_file()}
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", *OFFLINE, "--wheel-dir", str(out), "."]
    for command in (pip, [sys.executable, "-c", SDIST, str(out)]):
        done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return files, out


def test_a_wheel_has_them_all(built):
    files, out = built
    with zipfile.ZipFile(next(out.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    assert len(files) == 14 and files <= names
    assert "adml/weights/export/text/variables/variables.data-00000-of-00001" in names
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "adml").rglob("*.py")}
    assert modules <= names and "adml/export/example.txt" in names


def test_a_source_distribution_has_them_all(built):
    files, out = built
    with tarfile.open(next(out.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert files <= names
