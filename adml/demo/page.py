"""The page itself, by Gradio (extra `demo`): on this machine alone, with nothing from elsewhere."""

from __future__ import annotations

import html
import os
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adml.demo import plots
from adml.demo.listening import Listened, enrol_lines, listen, read, rows
from adml.errors import AdmlError, UsageError
from adml.spotting.spotter import KeywordSpotter

ADDRESS = "127.0.0.1"
THRESHOLD = 0.3
LARGEST_UPLOAD = "200mb"
HEADERS = ["keyword", "from, s", "to, s", "score"]
# The browser asks nobody else, whatever the page's library would like.
POLICY = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; "
    f"connect-src 'self' data: blob: ws://{ADDRESS}:*"
)
_STYLE = "#message p {color: #c8443c; margin: 0.2em 0} footer {display: none !important}"
_NO_PHONES = "The model tells no phones: it was trained without losses.ctc_weight."


def import_gradio() -> Any:
    """Gradio, which is told first to report nothing to anybody.

    Raises:
        UsageError: it is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_OFFLINE"] = os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    try:
        import gradio
    except ImportError as error:
        raise UsageError(
            f"The page needs the package gradio: {error}. Expected: the extra demo. Install it by "
            "pip install 'adml[demo]'."
        ) from None
    return gradio


def serve(spotter: KeywordSpotter, port: int, tell: Callable[[str], None]) -> None:
    """Serve the page until the process is interrupted; what was uploaded is deleted then.

    Args:
        spotter: the model.
        port: of the loopback address.
        tell: is called with the address once the page is there.

    Raises:
        UsageError: Gradio is not installed, the port is taken, or the model hears no running audio.
    """
    gradio = import_gradio()
    require_free(port)
    spotter.hearing()
    from starlette.middleware import Middleware

    with tempfile.TemporaryDirectory(prefix="adml-demo-") as uploads:
        os.environ["GRADIO_TEMP_DIR"] = uploads
        blocks = page(gradio, spotter)
        font = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
        _, address, _ = blocks.launch(
            server_name=ADDRESS, server_port=port, share=False, quiet=True, inbrowser=False,
            prevent_thread_lock=True, ssr_mode=False, mcp_server=False, enable_monitoring=False,
            max_file_size=LARGEST_UPLOAD, footer_links=[], css=_STYLE,
            theme=gradio.themes.Default(**font), app_kwargs={"middleware": [Middleware(policy)]},
        )  # fmt: skip
        try:
            tell(address)
            threading.Event().wait()
        finally:
            blocks.close(verbose=False)


def require_free(port: int) -> None:
    """Refuse a port of the loopback address that another process listens on.

    Raises:
        UsageError: it does, or the system keeps the port for others.
    """
    try:
        with socket.create_server((ADDRESS, port)):
            pass
    except OSError as error:
        raise UsageError(
            f"The page cannot be served: {error.strerror}. Expected: a free port. Received: "
            f"{port}. Choose another by --port."
        ) from None


def policy(app: Callable) -> Callable:
    """An ASGI application whose answers carry the content security policy."""

    async def answer(scope, receive, send):
        async def send_with_policy(message):
            if message["type"] == "http.response.start":
                policy = (b"content-security-policy", POLICY.encode())
                message = message | {"headers": [*message["headers"], policy]}
            await send(message)

        await app(scope, receive, send_with_policy)

    return answer


def page(gradio: Any, spotter: KeywordSpotter):
    """Lay the page out and say what its parts do.

    Args:
        gradio: the library.
        spotter: the model.
    """
    answers = Answers(gradio, spotter)
    with gradio.Blocks(title="adml demo", analytics_enabled=False) as blocks:
        gradio.Markdown("## Type keywords, give a recording, see where they are said")
        heard = gradio.State()
        with gradio.Row():
            with gradio.Column(scale=1, min_width=300):
                lines = gradio.Textbox(label="Keywords, one a line", lines=4, elem_id="keywords")
                audio = gradio.Audio(
                    label="Recording", sources=["upload", "microphone"], type="filepath",
                    editable=False, buttons=["download"], elem_id="audio",
                )  # fmt: skip
                threshold = gradio.Slider(
                    -1, 1, value=THRESHOLD, step=0.01, label="Threshold", elem_id="threshold"
                )
                button = gradio.Button("Listen", variant="primary", elem_id="listen")
                message = gradio.HTML(elem_id="message")
            with gradio.Column(scale=2, min_width=500):
                table = gradio.Dataframe(
                    headers=HEADERS, label="Detections", interactive=False, elem_id="detections",
                    datatype=["str", "number", "number", "number"], type="array",
                )  # fmt: skip
                timeline = gradio.Plot(show_label=False, format="png", elem_id="timeline")
                chosen = gradio.Dropdown(
                    label="Phones of", choices=[], interactive=True, elem_id="chosen"
                )
                spelling = gradio.Plot(show_label=False, format="png", elem_id="spelling")
        shown = [table, timeline]
        silent = {"api_visibility": "private"}
        button.click(
            answers.listen, [lines, audio, threshold], [heard, message, *shown, chosen, spelling],
            **silent,
        )  # fmt: skip
        threshold.change(
            answers.detect, [heard, threshold], shown, trigger_mode="always_last", **silent
        )
        chosen.input(answers.spell, [heard, chosen], [spelling, message], **silent)
    return blocks


class Answers:
    """What the page shows when something is pressed, moved or chosen; errors in words.

    Args:
        gradio: the library.
        spotter: the model.
    """

    def __init__(self, gradio: Any, spotter: KeywordSpotter):
        self._gradio, self._spotter = gradio, spotter

    def listen(self, lines: str, path: str | None, threshold: float) -> tuple:
        """Hear a recording: what was heard, messages, table, figures, names to choose from."""
        try:
            keywords, refused = enrol_lines(self._spotter, lines or "")
            if path is None:
                raise UsageError("There is no recording. Drop a file, or record one.")
            heard = None
            if keywords:
                samples = read(path, self._spotter.sample_rate_hz)
                heard = listen(self._spotter, keywords, samples)
        except AdmlError as error:
            heard, refused = None, [str(error).replace(str(path), Path(str(path)).name)]
        names = list(heard.names) if heard else []
        choice = self._gradio.Dropdown(choices=names, value=names[0] if names else None)
        figure, told = self.spell(heard, names[0]) if names else (None, "")
        return heard, written(refused) + told, *self.detect(heard, threshold), choice, figure

    def detect(self, heard: Listened | None, threshold: float) -> tuple:
        """Table and figure of what is detected with a threshold."""
        if heard is None:
            return [], None
        return rows(heard.detections(threshold)), plots.timeline(heard, threshold)

    def spell(self, heard: Listened | None, name: str) -> tuple:
        """The figure of a keyword's phones, and why there is none."""
        found = heard.spelling(name) if heard else None
        if found is not None:
            return plots.spelling(name, found), ""
        return None, written([_NO_PHONES] if heard and heard.phones is None else [])


def written(messages: list[str]) -> str:
    """Messages as paragraphs; what strangers wrote stays text."""
    return "".join(f'<p role="alert">{html.escape(message)}</p>' for message in messages)
