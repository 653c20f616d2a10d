"""The notebooks: mostly text, stripped, portable, true to the code, and executed on small data."""

from __future__ import annotations

import ast
import base64
import importlib
import io
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from adml.config import load_config

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "notebooks"
SPEECH = Path(os.environ.get("ADML_SPEECH", ROOT.parent / "shared" / "speech"))
NAMES = [
    "01_losses",
    "02_phoneme_alignment",
    "03_modality_adversary",
    "04_reading_results",
    "05_spot_a_keyword",
    "06_choose_and_calibrate",
    "07_without_tensorflow",
]
TRAINED = {"02_phoneme_alignment", "03_modality_adversary"}
SPOTTING = {"05_spot_a_keyword", "06_choose_and_calibrate", "07_without_tensorflow"}
MACHINE_PATH = re.compile(r"(?<![\w.])/(tmp|home|work|root|Users|mnt|content)\b|\b[A-Z]:\\")
MOST_FUNCTION_LINES = 10
LEAST_TEXT = 0.4

CORPUS = {"WORDS": 12, "VOICES": 5, "STEPS": 2, "KEYWORDS": 3}
SMALL = {
    "01_losses": {"NUM_CLASSES": 50},
    "02_phoneme_alignment": CORPUS | {"CLIPS": 6},
    "03_modality_adversary": CORPUS | {"CLIPS": 12},
    "04_reading_results": {
        "WORDS": 20,
        "NEGATIVES": 10,
        "RESAMPLES": 20,
        "RECORDS": str(ROOT / "experiments" / "records"),
    },
    "05_spot_a_keyword": {"COUNTS": [1, 5]},
    "06_choose_and_calibrate": {"CANDIDATES": ["go", "computer"], "MINUTES": 1, "SAYINGS": 3},
    "07_without_tensorflow": {"FILES": {"litert": ["float32"]}, "WORDS": 4},
}
# Of the two that take real speech one is given some, where there is any.
REAL = {
    "06_choose_and_calibrate": {"SPEECH": "wake_words", "BACKGROUND": "librispeech_dev"},
}
PICTURES = {
    "01_losses": 11,
    "02_phoneme_alignment": 4,
    "03_modality_adversary": 3,
    "04_reading_results": 3,
    "05_spot_a_keyword": 5,
    "06_choose_and_calibrate": 5,
    "07_without_tensorflow": 2,
}
# Thin encoders, and steps without a graph: a few are done before it would be traced. TensorFlow
# warns that data pipelines keep their graphs.
SPEED_UP = """
import functools, tensorflow, warnings, adml.models.adml
warnings.filterwarnings("ignore", "Even though the `tf.config.experimental_run_functions_eagerly")
tensorflow.config.run_functions_eagerly(True)
adml.models.adml.AcousticEncoder = functools.partial(
    adml.models.adml.AcousticEncoder, channels=16, dilations=(2,), scale=4, bottleneck=8)
"""


@cache
def cells(name: str, kind: str | None = None) -> list[dict]:
    document = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    return [cell for cell in document["cells"] if kind in (None, cell["cell_type"])]


def source(cell: dict) -> str:
    return "".join(cell["source"])


def lines(name: str, kind: str) -> int:
    text = "\n".join(source(cell) for cell in cells(name, kind))
    return sum(bool(line.strip()) for line in text.split("\n"))


def code(name: str) -> ast.Module:
    return ast.parse("\n".join(source(cell) for cell in cells(name, "code")))


def parameters(name: str) -> dict:
    (cell,) = (c for c in cells(name, "code") if "parameters" in c["metadata"].get("tags", []))
    body = ast.parse(source(cell)).body
    assert all(isinstance(node, ast.Assign) and len(node.targets) == 1 for node in body)
    return {node.targets[0].id: ast.literal_eval(node.value) for node in body}


def test_these_are_the_notebooks():
    assert sorted(path.stem for path in FOLDER.iterdir() if path.suffix) == NAMES
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"notebooks/{name}.ipynb" in readme for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_first_cell_says_what_one_learns_and_how_long_it_takes(name):
    first = cells(name)[0]
    assert first["cell_type"] == "markdown" and source(first).startswith("# ")
    assert "**What you learn:**" in source(first)
    assert re.search(r"\*\*How long it takes:\*\*.*\bminutes?\b", source(first), re.DOTALL)


@pytest.mark.parametrize("name", NAMES)
def test_two_fifths_of_the_lines_are_text(name):
    text = lines(name, "markdown")
    assert text / (text + lines(name, "code")) >= LEAST_TEXT


@pytest.mark.parametrize("name", NAMES)
def test_there_is_no_class_and_no_long_function(name):
    for node in ast.walk(code(name)):
        assert not isinstance(node, ast.ClassDef)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno - node.lineno < MOST_FUNCTION_LINES, node.name


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_stripped_and_nothing_tells_of_a_machine(name):
    text = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
    assert not MACHINE_PATH.search(text)
    document = json.loads(text)
    assert set(document["metadata"]) == {"kernelspec", "language_info"}
    assert document["metadata"]["language_info"] == {"name": "python"}
    assert len({cell["id"] for cell in document["cells"]}) == len(document["cells"])
    for cell in cells(name):
        assert set(cell["metadata"]) <= {"tags"}
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None


@pytest.mark.parametrize("name", NAMES)
def test_the_sizes_are_literals_at_the_top(name):
    found = parameters(name)
    first_code = cells(name, "code")[0]
    assert "parameters" in first_code["metadata"]["tags"]
    assert set(SMALL[name]) <= set(found) and all(key.isupper() for key in found)
    assert found.get("SPEECH", "") == found.get("BACKGROUND", "") == ""
    assert (FOLDER / found.get("RECORDS", ".")).is_dir()


@pytest.mark.parametrize("name", NAMES)
def test_names_links_and_settings_in_the_text_exist(name):
    text = "\n".join(source(cell) for cell in cells(name, "markdown"))
    for dotted in set(re.findall(r"`(adml(?:\.\w+)+)", text)):
        _resolve(dotted)
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (FOLDER / link).exists(), link
    for path in re.findall(r"\bexperiments/\w+/\w+\.yaml", text):
        assert (ROOT / path).is_file(), path
    for other in re.findall(r"`(\w+)\.ipynb`", text):
        assert other in NAMES
    for dotted, value in re.findall(r"`([a-z]+(?:\.[a-z_]+)+)=([^\s`]+)`", text):
        load_config(None, [f"{dotted}={value}"])


def _resolve(dotted: str):
    """The object of a dotted name: a module, or something in one."""
    module, _, rest = dotted.rpartition(".")
    try:
        return importlib.import_module(dotted)
    except ModuleNotFoundError:
        return getattr(importlib.import_module(module), rest)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Executes a notebook as `make notebooks` does, with a kernel of this interpreter.

    In a process of its own: what the client leaves open does not become a warning here. Kernel,
    caches and settings lie in a temporary folder, so nothing of the user's is read or written.
    """
    for module in ("nbclient", "nbformat", "ipykernel"):
        pytest.importorskip(module, reason="the extra notebooks is not installed")
    home = tmp_path_factory.mktemp("notebooks")
    kernel = home / "kernels" / "this"
    kernel.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    described = {"argv": command, "display_name": "this interpreter", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(described), encoding="utf-8")
    own = {"JUPYTER_PATH": home, "JUPYTER_RUNTIME_DIR": home, "JUPYTER_CONFIG_DIR": home,
           "IPYTHONDIR": home, "TMPDIR": home, "ADML_CACHE": home / "cache",
           "PYTHONPATH": ROOT, "TF_CPP_MIN_LOG_LEVEL": "2"}  # fmt: skip
    environment = os.environ | {key: str(value) for key, value in own.items()}
    environment.pop("MPLBACKEND", None)

    def execute(name: str, **more: str) -> dict:
        document = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
        (cell,) = (c for c in document["cells"] if "parameters" in c["metadata"].get("tags", []))
        changed = (SMALL[name] | more).items()
        small = "".join(f"\n{key} = {value!r}" for key, value in changed)
        cell["source"] = source(cell) + small + (SPEED_UP if name in TRAINED else "")
        path = home / f"{name}.ipynb"
        path.write_text(json.dumps(document), encoding="utf-8")
        options = ["--kernel_name=this", "--timeout=300", "--inplace", str(path)]
        client = [sys.executable, "-c", "from nbclient.cli import main; main()", *options]
        done = subprocess.run(client, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(path.read_text(encoding="utf-8"))

    return execute


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_from_top_to_bottom(name, run):
    _require(name)
    given = {key: str(SPEECH / folder) for key, folder in REAL.get(name, {}).items()}
    given = given if SPEECH.is_dir() else {}
    outputs = [output for cell in run(name, **given)["cells"] for output in cell.get("outputs", [])]
    printed = {"stdout": "", "stderr": ""}
    for output in outputs:
        if output["output_type"] == "stream":
            printed[output["name"]] += "".join(output["text"])
    odd = "Warning|Traceback" + "|WARNING:absl|INFO:tensorflow" * (name in SPOTTING)
    assert not re.search(odd, printed["stderr"]), printed["stderr"]
    pictures = [o["data"]["image/png"] for o in outputs if "image/png" in o.get("data", {})]
    assert len(pictures) == PICTURES[name]
    assert min(_colours("".join(picture)) for picture in pictures) > 20
    if name == "04_reading_results":
        for figure in ("EER", "AP"):
            from_scratch, ours = re.findall(rf": {figure} ([\d.]+)%", printed["stdout"])[:2]
            assert from_scratch == ours


def test_a_keyword_is_spotted_in_ten_lines():
    (ten,) = (c for c in cells("05_spot_a_keyword", "code") if "KeywordSpotter" in source(c))
    said = [line for line in source(ten).split("\n") if line.strip()]
    assert len(said) <= 10 and said[0].startswith("from adml") and said[-1].startswith("print(")


def _require(name: str) -> None:
    """Skip a notebook that this installation lacks something for."""
    if name in TRAINED | SPOTTING:
        pytest.importorskip("espeakng_loader", reason="the extra synth is not installed")
    if name == "07_without_tensorflow":
        pytest.importorskip("ai_edge_litert", reason="the extra export is not installed")
    if name in SPOTTING:
        from adml.spotting.cohort import COHORT
        from adml.spotting.spotter import PACKAGED

        if not (PACKAGED / COHORT).is_file():
            pytest.skip("there are no weights in the package")


def _colours(picture: str) -> int:
    """How many colours a PNG has; a blank one has one."""
    from matplotlib.image import imread

    pixels = imread(io.BytesIO(base64.b64decode(picture)))
    return len(np.unique(np.round(pixels.reshape(-1, pixels.shape[-1]) * 255), axis=0))
