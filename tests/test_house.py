"""The house rules, read off the source: floors, size, manners and declared dependencies."""

from __future__ import annotations

import ast
import configparser
import doctest
import importlib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "adml"
MODULES = sorted(PACKAGE.rglob("*.py"))
LONGEST_MODULE = 300
LONGEST_FUNCTION = 60

FLOORS = {
    "cli": 5,
    "commands": 5,
    "arguments": 5,
    "reproduce_options": 5,
    "run_options": 5,
    "trial_commands": 5,
    "trial_options": 5,
    "data_commands": 5,
    "download_command": 5,
    "rooms_command": 5,
    "voices_command": 5,
    "benchmark_command": 5,
    "spotting_commands": 5,
    "detect_command": 5,
    "advise_command": 5,
    "demo_command": 5,
    "evaluate_spotting_command": 5,
    "export_command": 5,
    "__main__": 5,
    "build": 4,
    "experiment": 4,
    "evaluate": 4,
    "benchmarks": 4,
    "gradients": 4,
    "postmortem": 4,
    "validation": 4,
    "quickstart": 4,
    "quickstart_config": 4,
    "reproduce": 4,
    "run_folder": 4,
    "run_report": 4,
    "runtime_export": 4,
    "runtime_losses": 4,
    "evaluate_spotting": 4,
    "make_cohort": 4,
    "model_card": 4,
    "package_weights": 4,
    "demo": 4,
    "training": 3,
    "evaluation": 3,
    "export": 3,
    "spotting": 3,
    "models": 2,
    "losses": 2,
    "metrics": 2,
    "data": 2,
    "layers": 1,
    "audio": 1,
    "text": 1,
    "code_state": 0,
    "config": 0,
    "config_checks": 0,
    "config_file": 0,
    "config_identity": 0,
    "config_losses": 0,
    "errors": 0,
    "files": 0,
    "numerics": 0,
    "__init__": 0,
}
SOLE_IMPORTERS = {"tensorflow_io": "audio/tfio.py", "g2p_en": "text/dictionary.py"}
DISTRIBUTIONS = {
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
    "tensorflow_io": "tensorflow-io",
    "g2p_en": "g2p-en",
    "tf_keras": "tf-keras",
    "espeakng_loader": "espeakng-loader",
    "apache_beam": "apache-beam",
    "google_crc32c": "google-crc32c",
    "ai_edge_litert": "ai-edge-litert",
}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports_of(path: Path) -> list[tuple[int, str]]:
    """All (line, dotted module) that the file imports, at any depth of the code."""
    found = []
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                found.append((node.lineno, "." * node.level + (node.module or "")))
            elif node.module == "adml":
                found += [(node.lineno, f"adml.{alias.name}") for alias in node.names]
            else:
                found.append((node.lineno, node.module))
    return found


def third_party(path: Path) -> set[str]:
    tops = {module.split(".")[0] for _, module in imports_of(path)}
    return tops - set(sys.stdlib_module_names) - {"adml", "__future__", ""}


def violations(importer: str, imported: str) -> str:
    """Why `importer` (a room) may not import `imported` (a room), or an empty string."""
    if importer == imported:
        return ""
    here, there = FLOORS[importer], FLOORS[imported]
    if there > here:
        return "imports go down only"
    if there == here and here in (1, 2, 3):
        return "rooms of one floor do not import each other"
    return ""


@pytest.fixture(params=MODULES, ids=name_of)
def module(request) -> Path:
    return request.param


def test_rule_of_floors():
    assert violations("losses", "numerics") == ""
    assert violations("losses", "losses") == ""
    assert "down" in violations("losses", "training")
    assert "one floor" in violations("losses", "models")


def test_imports_go_down(module):
    room, wrong = room_of(module), []
    assert room in FLOORS, f"{name_of(module)} stands on no floor; add its room to FLOORS"
    for line, imported in imports_of(module):
        if imported.startswith("."):
            wrong.append(f"line {line}: relative import; write it in full")
        elif imported.startswith("adml.") and imported.split(".")[1] in FLOORS:
            reason = violations(room, imported.split(".")[1])
            wrong += [f"line {line}: {imported}: {reason}"] if reason else []
    assert not wrong, f"{name_of(module)}: {wrong}"


def test_one_module_knows_each_awkward_package(module):
    for package, home in SOLE_IMPORTERS.items():
        if name_of(module) != home:
            assert package not in third_party(module), f"only adml/{home} may import {package}"


def test_third_party_imports_are_declared():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = setup["options.extras_require"].values()
    lines = "\n".join([setup["options"]["install_requires"], *extras]).splitlines()
    declared = {
        re.split(r"[<>=!~ ;\[]", line)[0].lower().replace("_", "-")
        for line in lines
        if line and not line.startswith("#")
    }
    files = [*MODULES, *sorted((ROOT / "tests").rglob("*.py"))]
    used = {name: path for path in files for name in third_party(path)}
    missing = {
        f"{name} ({path.relative_to(ROOT)})"
        for name, path in used.items()
        if DISTRIBUTIONS.get(name, name).lower() not in declared
    }
    assert not missing, f"imported and not declared in setup.cfg: {sorted(missing)}"


def test_manners(module):
    """No print, assert, sys.exit or bare except outside cli.py; no Lambda layers, no tf.keras."""
    if name_of(module) == "cli.py":
        return
    wrong = []
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Assert):
            wrong.append((node.lineno, "assert"))
        elif isinstance(node, ast.ExceptHandler) and node.type is None:
            wrong.append((node.lineno, "bare except"))
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in ("print", "sys.exit", "exit", "quit") or called.endswith("layers.Lambda"):
                wrong.append((node.lineno, called))
        elif isinstance(node, ast.Attribute) and node.attr in ("_keras_mask",):
            wrong.append((node.lineno, node.attr))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "tf.keras":
            wrong.append((node.lineno, "tf.keras"))
    if name_of(module) == "__main__.py":
        wrong = [(line, what) for line, what in wrong if what != "sys.exit"]
    assert not wrong, f"{name_of(module)}: {wrong}"


RUNS_CODE = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "jsonpickle", "joblib"}
RUNS_WHAT_IT_IS_GIVEN = re.compile(
    r"^(eval|exec|compile|__import__|os\.(system|popen)|.*\.(extractall|unpack_archive)"
    r"|yaml\.(unsafe|full)_load(_all)?|yaml\.load_all)$"
)


def test_rule_of_what_is_run():
    for called in (
        "eval",
        "os.system",
        "tar.extractall",
        "yaml.unsafe_load",
        "shutil.unpack_archive",
    ):
        assert RUNS_WHAT_IT_IS_GIVEN.match(called)
    for called in ("re.compile", "model.evaluate", "yaml.safe_load", "archive.extract"):
        assert not RUNS_WHAT_IT_IS_GIVEN.match(called)


def test_nothing_that_is_read_is_run(module):
    """No pickle, no evaluated text, no YAML but by safe loaders, no archive but by our checks."""
    wrong = sorted({name.split(".")[0] for _, name in imports_of(module)} & RUNS_CODE)
    for node in ast.walk(tree_of(module)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        given = {word.arg: ast.unparse(word.value) for word in node.keywords}
        if RUNS_WHAT_IT_IS_GIVEN.match(called) or given.get("shell", "False") != "False":
            wrong.append((node.lineno, called))
        if called == "np.load" and given.get("allow_pickle") != "False":
            wrong.append((node.lineno, "np.load without allow_pickle=False"))
        if called == "yaml.load" and given.get("Loader") != "_StrictLoader":
            wrong.append((node.lineno, "yaml.load by another loader than the strict one"))
    assert not wrong, f"{name_of(module)}: {wrong}"


def test_size(module):
    lines = module.read_text(encoding="utf-8").count("\n")
    assert lines <= LONGEST_MODULE, f"{name_of(module)} has {lines} lines; split it"
    long = {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno >= LONGEST_FUNCTION
    }
    assert not long, f"{name_of(module)}: functions longer than a screen: {long}"


def public_definitions(tree: ast.Module) -> list[ast.AST]:
    """The module itself, its public functions and classes, and their public methods."""

    def public(nodes: list[ast.stmt], kinds: type) -> list[ast.AST]:
        return [n for n in nodes if isinstance(n, kinds) and not n.name.startswith("_")]

    top = public(tree.body, ast.FunctionDef | ast.ClassDef)
    classes = [node for node in top if isinstance(node, ast.ClassDef)]
    methods = [method for owner in classes for method in public(owner.body, ast.FunctionDef)]
    framework = {"call", "build", "get_config", "from_config", "compute_output_shape"}
    return [tree, *top, *(method for method in methods if method.name not in framework)]


def test_public_names_have_docstrings(module):
    bare = [
        getattr(node, "name", "the module")
        for node in public_definitions(tree_of(module))
        if not ast.get_docstring(node)
    ]
    assert not bare, f"{name_of(module)}: no docstring on {bare}"


TENSORFLOW_WORK = re.compile(r"^(tf|keras|np\.random|random|tensorflow|nltk)\.")
HARMLESS = re.compile(
    r"^(tf\.(TensorSpec|RaggedTensorSpec|TypeSpec|function)|keras\.(saving|utils)\.register\w+)$"
)


def test_no_work_at_import(module):
    """Module level makes no tensors, models, seeds or threads; decorators and specs are fine."""
    wrong = []

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            for decorator in getattr(node, "decorator_list", []):
                visit(decorator)
            return
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if TENSORFLOW_WORK.match(called) and not HARMLESS.match(called):
                wrong.append((node.lineno, called))
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(tree_of(module))
    assert not wrong, f"{name_of(module)}: work at import: {wrong}"


def test_doctests(module):
    text = module.read_text(encoding="utf-8")
    if ">>>" not in text:
        return
    dotted = ".".join(module.relative_to(ROOT).with_suffix("").parts)
    result = doctest.testmod(importlib.import_module(dotted), optionflags=doctest.ELLIPSIS)
    assert result.attempted and not result.failed, f"{name_of(module)}: {result}"


def test_files_end_the_project_at_home():
    """Nothing that is tracked as text names a machine's own folders."""
    files = [*MODULES, ROOT / "Makefile", ROOT / "setup.cfg", ROOT / "constraints.txt"]
    files += [*(ROOT / "experiments").rglob("*.*"), *ROOT.glob("*.md")]
    files += [*(PACKAGE / "weights").glob("*.*")]
    for path in files:
        assert not re.search(r"(/home/|/root/|/tmp/)", path.read_text(encoding="utf-8")), path
