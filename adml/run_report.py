"""The page of a run from what stands in its folder: figures, records, cost; without TensorFlow."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

from adml.config import Config, load_config
from adml.config_file import to_mapping
from adml.evaluation import plots
from adml.evaluation.records import Cost, Record, read_records
from adml.evaluation.report import Picture, write_report
from adml.run_folder import read_values, require_run

logger = logging.getLogger(__name__)

DRAWN_BEFORE = (
    Picture(Path("scores.png"), "Scores", "Cosines of matching and of other pairs."),
    Picture(Path("det.png"), "Misses against false alarms", "Lower left is better."),
    Picture(Path("alignment.png"), "Alignment", "Which frames each phoneme attends to (Eq. 1)."),
    Picture(Path("confusions.png"), "Confusions", "Which word is taken for which."),
)
"""What a quickstart leaves in the folder of the report; it needs the model to be drawn anew."""


def report_run(workdir: str | Path) -> Path:
    """Write, or write anew, `report/` of a run: figures and `index.html`.

    What the run does not have is left out: another objective has other curves, and a run that is
    not evaluated no records.

    Args:
        workdir: the run folder.

    Returns:
        Path of the page.

    Raises:
        UsageError: the folder is no run, or cannot be written.
        DataError: a file of it is damaged.
    """
    folder = require_run(workdir)
    config = load_config(folder / "config.yaml")
    records = read_records(folder / "records") if (folder / "records").is_dir() else []
    records.sort(key=lambda record: (record.name != config.name, "untrained" in record.name))
    report = folder / "report"
    before = [
        Picture(report / picture.path, picture.title, picture.caption)
        for picture in DRAWN_BEFORE
        if (report / picture.path).is_file()
    ]
    own, *others = records or [_unevaluated(folder, config)]
    pictures = [*before, *run_pictures(folder)]
    return write_report(own, report, pictures=pictures, compared=others, notes=_notes(folder))


def run_pictures(folder: Path) -> list[Picture]:
    """Draw into `report/` what the tables of a run show.

    Raises:
        DataError: a table is damaged.
        UsageError: the folder cannot be written.
    """
    report, pictures = folder / "report", []
    metrics, constants = folder / "metrics.csv", folder / "constants.csv"
    gradients = folder / "gradient_norms.csv"
    columns = plots.read_columns(metrics) if _has_rows(metrics) else {}

    def draw(wanted: bool, draw_it: Callable, source: Path, name: str, title: str, text: str):
        if wanted:
            pictures.append(Picture(draw_it(source, report / name), title, text))

    draw(
        bool(columns), plots.loss_curves, metrics, "losses.png", "Losses",
        "Every term of the objective over the steps, without its weight; the learning rate, the "
        "share of the keyword loss' margin, and the norm of the gradients.",
    )  # fmt: skip
    draw(
        any(name in columns for name in plots.ACCURACIES), plots.modality_accuracy, metrics,
        "modality.png", "Modality classifier",
        "How often it tells an embedding of audio from one of text, in training. The adversary "
        "has won where it is at chance.",
    )  # fmt: skip
    draw(
        _has_rows(constants), plots.constants_over_time, constants, "constants.png",
        "What each phoneme class has learnt (AdaMS)",
        "alpha and beta scale, lambda shifts the cosines of Eq. 2; a line above and a row below "
        "for each phone.",
    )  # fmt: skip
    draw(
        any(name in columns for name in plots.SCALES), plots.learnt_scales, metrics, "scales.png",
        "Other learnt constants", "One number each, at the steps of the log.",
    )  # fmt: skip
    draw(
        _has_rows(gradients), plots.gradient_norms, gradients, "gradients.png",
        "How hard each term pulls on each encoder",
        "Above: the norm of its weighted gradient on one batch; a term that does not reach an "
        "encoder has no line. Below 0 in the lower row it works against the others together.",
    )  # fmt: skip
    draw(
        "wait_fraction" in columns, plots.speed, metrics, "speed.png", "Speed",
        "Utterances trained on in a second, the share of the time without a batch, and the most "
        "memory between two rows of the log.",
    )  # fmt: skip
    return pictures


def try_report(workdir: str | Path) -> None:
    """Write the page of a run that has just ended; a failure is told and no more."""
    try:
        logger.info("The report is %s", report_run(workdir))
    except Exception as error:  # The run is whole: no fault of a figure may fail it.
        logger.debug("", exc_info=True)
        logger.warning(
            "The report of %s is not written (%s: %s). The run is whole; try: adml report %s",
            *(workdir, type(error).__name__, error, workdir),
        )


def _has_rows(path: Path) -> bool:
    """Whether there is more than a header."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return sum(1 for _, line in zip(range(2), file, strict=False) if line.strip()) == 2


def _unevaluated(folder: Path, config: Config) -> Record:
    """What is known of a run without records, in the form of one that has no figures."""
    made = read_values(folder / "environment.json", "the page then names no versions")
    data = read_values(folder / "data.json", "the page then names no data")
    cost = read_values(folder / "cost.json", "the page then tells no cost")
    settings = to_mapping(config)
    return Record(
        name=config.name,
        config=settings | {"data": settings["data"] | {"root": ""}},
        commit=made.get("commit", ""),
        dirty=bool(made.get("dirty")),
        seed=config.seed,
        data_hash=data.get("data_hash", ""),
        trials={},
        metrics={},
        cost=Cost(**{item.name: cost[item.name] for item in fields(Cost) if item.name in cost}),
        versions=made.get("versions", {}),
    )


def _notes(folder: Path) -> list[str]:
    """How far the run is, and whether it is evaluated."""
    data = read_values(folder / "data.json", "the page then names no data")
    notes, metrics = [], folder / "metrics.csv"
    if _has_rows(metrics):
        columns = plots.read_columns(metrics)
        done = f"{columns['step'][-1]:,.0f}"
        total = f" of {data['total_steps']:,}" if "total_steps" in data else ""
        epochs = f", {columns['epoch'][-1]:.2f} epochs" if "epoch" in columns else ""
        notes.append(f"{done}{total} steps{epochs}.")
        if columns.get("remaining_seconds", [0])[-1] > 0:
            left = timedelta(seconds=round(columns["remaining_seconds"][-1]))
            notes.append(f"At the speed of its last steps it takes {left} more (h:mm:ss).")
    if _has_rows(folder / "warnings.csv"):
        said = plots.read_columns(folder / "warnings.csv", texts=("kind", "text"))
        pairs = zip(said["step"], said["text"], strict=True)
        notes += [f"Warned at step {step:.0f}: {text}" for step, text in pairs]
    if not (folder / "records").is_dir():
        notes.append(f"Not evaluated yet: adml evaluate {folder}")
    return notes
