"""The page in a real browser without a screen: typed, dropped, pressed, seen."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import socket
import subprocess
import sys

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
MISSING = [name for name in ("gradio", "playwright") if importlib.util.find_spec(name) is None]
if MISSING or CHROMIUM is None:
    pytest.skip(
        f"needs {' and '.join([*MISSING, *([] if CHROMIUM else ['chromium'])])}: "
        "pip install '.[demo,browser]' and apt-get install chromium",
        allow_module_level=True,
    )

PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def served(tiny_export):
    """The address of `adml demo`, as it is typed, on a free port; ends by an interrupt."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "adml", "demo", "--model", tiny_export, "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        address = process.stdout.readline().strip()
        assert address == f"http://127.0.0.1:{port}/", process.stderr.read()
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in said, said


@pytest.fixture
def page(served):
    """The page, opened; whatever it asks of other machines, or fails at, is an error."""
    from playwright.sync_api import sync_playwright

    asked, failed = [], []
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page()
        opened.set_default_timeout(PATIENCE_MS)
        opened.on("request", lambda request: asked.append(request.url))
        opened.on("pageerror", lambda error: failed.append(str(error)))
        opened.goto(served)
        opened.wait_for_selector("#listen")
        yield opened
        browser.close()
    elsewhere = [url for url in asked if not url.startswith((served, "blob:", "data:"))]
    assert asked and not elsewhere and not failed


def give(page, path, keywords):
    """Type keywords, drop a recording, wait until it is there, and press the button."""
    page.fill("#keywords textarea", keywords)
    with page.expect_response(lambda answer: "/upload" in answer.url):
        page.set_input_files("#audio input[type=file]", path)
    page.wait_for_selector("#audio input[type=file]", state="detached")
    page.click("#listen")


def test_a_keyword_is_found_and_drawn(page, recording):
    page.fill("#threshold input[type=number]", "-1")
    give(page, recording, "computer\nhey bixby")
    for place in ("#timeline img", "#spelling img"):
        page.wait_for_selector(place)
        assert page.locator(place).evaluate("image => image.naturalWidth") > 500
    found = page.inner_text("#detections").splitlines()
    assert "computer" in found and "hey bixby" in found
    assert page.inner_text("#message").strip() == ""
    before = page.get_attribute("#timeline img", "src")
    page.fill("#threshold input[type=number]", "1")
    page.wait_for_function("old => document.querySelector('#timeline img').src !== old", arg=before)
    page.wait_for_function("!document.querySelector('#detections').innerText.includes('bixby')")
    drawn = page.get_attribute("#spelling img", "src")
    page.click("#chosen input")
    page.get_by_role("option", name="hey bixby").click()
    page.wait_for_function("old => document.querySelector('#spelling img').src !== old", arg=drawn)


def test_a_text_that_is_called_audio_is_told(page, tmp_path):
    (tmp_path / "notes.wav").write_text("this is not audio " * 50)
    give(page, tmp_path / "notes.wav", "computer")
    page.wait_for_selector("#message p")
    assert "notes.wav is not audio of a known kind" in page.inner_text("#message")
    assert page.locator("#timeline img").count() == 0


def test_a_page_without_keyword_or_recording_says_so(page):
    page.click("#listen")
    page.wait_for_selector("#message p")
    assert "Type keywords, one a line" in page.inner_text("#message")
    page.fill("#keywords textarea", "computer\nпривет")
    page.click("#listen")
    page.wait_for_selector("#message p >> text=There is no recording")


def test_nobody_else_on_the_network_is_served(served):
    """It listens on the loopback address alone, and forbids the browser every other one."""
    import urllib.request

    with urllib.request.urlopen(served) as answer:
        assert "connect-src 'self'" in answer.headers["content-security-policy"]
    port = int(served.rstrip("/").split(":")[-1])
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in others - {"127.0.0.1"}:
        with pytest.raises(OSError), socket.create_connection((address, port), timeout=2):
            pass
