"""What the page answers, and that it is this machine's alone, without a browser."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from types import SimpleNamespace

import pytest

from adml.cli import main
from adml.demo.page import ADDRESS, POLICY, Answers, import_gradio, policy, written
from adml.errors import UsageError
from adml.spotting.spotter import KeywordSpotter

GRADIO = SimpleNamespace(Dropdown=dict)


@pytest.fixture(scope="module")
def answers(tiny_export):
    said = {"yes": ["Y", "EH1", "S"], "oh": ["OW1"]}
    spotter = KeywordSpotter.load(tiny_export, to_phonemes=lambda text: said[text])
    return Answers(GRADIO, spotter)


def test_a_recording_is_answered_in_full(answers, recording):
    heard, message, table, timeline, choice, figure = answers.listen("yes", str(recording), -1.5)
    assert not message and table and table[0][0] == "yes" and timeline.axes and figure.axes
    assert choice == {"choices": ["yes"], "value": "yes"}
    assert answers.detect(heard, 3.0)[0] == []
    assert answers.spell(heard, "yes")[0].axes and answers.spell(None, "yes") == (None, "")


@pytest.mark.parametrize(
    ("lines", "content", "told"),
    [
        ("", b"", "Type keywords, one a line"),
        (None, b"", "Type keywords, one a line"),
        ("yes", None, "There is no recording"),
        ("yes", b"not audio", "clip.wav is not audio of a known kind"),
        ("yes", b"", "clip.wav is empty"),
        ("oh", b"not audio", "&#x27;oh&#x27; is too short"),
    ],
)
def test_what_cannot_be_heard_is_told_in_words(answers, tmp_path, lines, content, told):
    path = None if content is None else tmp_path / "clip.wav"
    if path:
        path.write_bytes(content)
    heard, message, *shown = answers.listen(lines, path and str(path), 0.5)
    assert heard is None and told in message and str(tmp_path) not in message
    assert shown == [[], None, {"choices": [], "value": None}, None]


def test_a_refused_keyword_leaves_the_others(answers, recording):
    heard, message, *_ = answers.listen("oh\nyes", str(recording), 0.5)
    assert heard.names == ("yes",) and "too short" in message


def test_messages_are_text():
    assert written(["<img src=x>", "b"]) == (
        '<p role="alert">&lt;img src=x&gt;</p><p role="alert">b</p>'
    )


def test_every_answer_forbids_other_addresses():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body"})

    sent = []

    async def keep(message):
        sent.append(message)

    asyncio.run(policy(app)({}, None, keep))
    assert sent[0]["headers"] == [(b"a", b"b"), (b"content-security-policy", POLICY.encode())]
    assert sent[1] == {"type": "http.response.body"} and "http:" not in POLICY
    assert ADDRESS == "127.0.0.1"


def test_gradio_that_is_not_installed(tiny_export, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.setattr(os, "environ", {"GRADIO_ANALYTICS_ENABLED": "True"})
    with pytest.raises(UsageError, match=r"pip install 'adml\[demo\]'"):
        import_gradio()
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    assert main(["demo", "--model", str(tiny_export)]) == 2
    assert "pip install 'adml[demo]'" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["0", "65536", "-1", "x", "80.5"])
def test_ports(port, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["demo", "--port", port])
    assert stopped.value.code == 2 and "expected a port" in capsys.readouterr().err


def test_a_taken_port_is_told(tiny_export, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", GRADIO)
    with socket.create_server((ADDRESS, 0)) as taken:
        number = str(taken.getsockname()[1])
        assert main(["demo", "--model", str(tiny_export), "--port", number]) == 2
    said = capsys.readouterr()
    assert f"Expected: a free port. Received: {number}" in said.err and not said.out
