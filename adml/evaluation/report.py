"""The page of a run: one HTML file that needs nothing else, its figures as PNG files beside it."""

from __future__ import annotations

import base64
import html
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from adml.errors import DataError
from adml.evaluation.records import Record
from adml.evaluation.results import format_figure, metric_title
from adml.files import write_atomically

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #24292f; max-width: 62rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; }
h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid #e4e7eb; }
p.faint, figcaption, td small { color: #6a737d; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
div.wide { overflow-x: auto; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #e4e7eb;
  white-space: nowrap; }
figure { margin: 1.2rem 0; }
img { max-width: 100%; height: auto; }
pre { background: #f6f8fa; padding: .8rem; overflow: auto; max-height: 30rem; font-size: .8rem; }
</style>
</head>
<body>
<h1>$title</h1>
<p class="faint">$subtitle</p>
$body
</body>
</html>
""")


@dataclass(frozen=True)
class Picture:
    """A figure of the page.

    Args:
        path: of a PNG file.
        title: its heading.
        caption: what one sees in it.
    """

    path: Path
    title: str
    caption: str = ""


def write_report(
    record: Record,
    folder: str | os.PathLike,
    *,
    pictures: Sequence[Picture] = (),
    compared: Sequence[Record] = (),
    notes: Sequence[str] = (),
) -> Path:
    """Write `index.html`; the pictures are part of the page.

    Args:
        record: of the run.
        folder: where the page goes; usually the figures lie there already.
        pictures: in the order of the page.
        compared: other records whose figures on the same lists stand below the run's, such as an
            untrained model's; a list with another hash is left out.
        notes: paragraphs of plain text below the title.

    Returns:
        Path of the page.

    Raises:
        DataError: a picture is missing or is no PNG.
    """
    blocks = [f"<p>{html.escape(note)}</p>" for note in notes]
    for test in record.metrics:
        blocks.append(_test_section(test, [record, *compared], record.trials[test]))
    blocks += [_worst_section(test, details) for test, details in record.details.items()]
    blocks += [_picture(picture) for picture in pictures]
    blocks.append(_run_section(record))
    subtitle = f"{record.created}, seed {record.seed}, commit {_commit(record)}"
    page = _PAGE.substitute(
        title=html.escape(record.name),
        subtitle=html.escape(subtitle.lstrip(", ")),
        body="\n".join(block for block in blocks if block),
    )
    return write_atomically(Path(folder) / "index.html", page.encode("utf-8"))


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An HTML table; every cell is escaped."""
    lines = ["<tr>" + "".join(f"<th>{html.escape(str(cell))}</th>" for cell in head) + "</tr>"]
    for row in rows:
        lines.append("<tr>" + "".join(f"<td>{html.escape(str(c))}</td>" for c in row) + "</tr>")
    return '<div class="wide"><table>\n' + "\n".join(lines) + "\n</table></div>"


def _test_section(test: str, records: Sequence[Record], sha256: str) -> str:
    same = [r for r in records if test in r.metrics and r.trials.get(test) == sha256]
    metrics = list(
        dict.fromkeys(
            metric for r in same for part in r.metrics[test].values() for metric in part
        )
    )  # fmt: skip
    rows = []
    for record in same:
        for part, figures in record.metrics[test].items():
            count = max((figure["n"] for figure in figures.values()), default=0)
            cells = [format_figure(figures[m], m) if m in figures else "–" for m in metrics]
            rows.append([record.name, part, f"{count:,}", *cells])
    head = ["model", "part", "n", *(metric_title(metric) for metric in metrics)]
    title = html.escape(test.replace("_", " "))
    note = f'<p class="faint">List {html.escape(sha256[:12])}. 95 % bootstrap intervals.</p>'
    return f"<h2>{title}</h2>\n{note}\n{html_table(head, rows)}"


def _worst_section(test: str, details) -> str:
    """The worst words of a classification and the inputs that were set aside."""
    if not isinstance(details, dict):
        return ""
    blocks = []
    if details.get("worst_words"):
        rows = [
            [row["word"], f"{100 * row['accuracy']:.1f}", row["n"], row["taken_for"] or "–"]
            for row in details["worst_words"]
        ]
        blocks.append(html_table(["word", "accuracy %", "clips", "most often taken for"], rows))
    if details.get("set_aside"):
        rows = [[problem["item"], problem["reason"]] for problem in details["set_aside"]]
        count = details.get("clips_set_aside", 0) + details.get("texts_set_aside", 0)
        blocks.append(f"<p>{count} inputs were set aside; the first:</p>")
        blocks.append(html_table(["input", "reason"], rows))
    if not blocks:
        return ""
    title = html.escape(test.replace("_", " "))
    return f"<h2>{title}: in detail</h2>\n" + "\n".join(blocks)


def _picture(picture: Picture) -> str:
    try:
        content = Path(picture.path).read_bytes()
    except OSError as error:
        raise DataError(f"{picture.path}: the picture cannot be read: {error.strerror}.") from error
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        raise DataError(f"{picture.path}: Expected: a PNG file. Received: something else.")
    data = base64.b64encode(content).decode("ascii")
    title, caption = html.escape(picture.title), html.escape(picture.caption)
    image = f'<img src="data:image/png;base64,{data}" alt="{title}">'
    return f"<h2>{title}</h2>\n<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _run_section(record: Record) -> str:
    cost = record.cost
    rows = [
        ["command", record.command or "–"],
        ["commit", _commit(record)],
        ["training data", record.data_hash or "none"],
        ["steps", f"{cost.steps:,}"],
        ["clips seen", f"{cost.utterances:,}"],
        ["time", f"{cost.seconds / 60:.1f} min, {cost.cpu_seconds / 3600:.2f} CPU hours"],
        ["peak memory", f"{cost.peak_memory_mb:,.0f} MB"],
        ["versions", ", ".join(f"{name} {v}" for name, v in sorted(record.versions.items()))],
    ]
    config = html.escape(json.dumps(record.to_dict()["config"], indent=2, ensure_ascii=False))
    details = f"<details><summary>configuration</summary><pre>{config}</pre></details>"
    return f"<h2>The run</h2>\n{html_table(['', ''], rows)}\n{details}"


def _commit(record: Record) -> str:
    return record.commit[:12] + (" with changes" if record.dirty else "")
