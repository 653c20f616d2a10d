"""Signals: the first asks for the step in progress to be finished, a second Ctrl-C does not."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator

SIGNALLED = 128
"""A shell's status of a process that a signal ended is this and the signal's number."""

INTERRUPTED = SIGNALLED + signal.SIGINT


class StopRequest:
    """Whether a signal has asked to stop, and with which status the process should then end."""

    exit_code: int | None = None

    def is_set(self) -> bool:
        """Whether one has come."""
        return self.exit_code is not None


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """What SIGINT or SIGTERM sets, so that the step in progress is finished first.

    Where it is set already, SIGINT interrupts as usual. Outside the main thread it is never set.
    """
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def request(number: int, _) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.exit_code = SIGNALLED + number

    previous = {
        number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def second_interrupt_ends() -> Iterator[None]:
    """A second Ctrl-C ends the process at once, though the main thread be inside TensorFlow.

    Python runs the handlers of signals in the main thread and between its bytecodes, so after the
    step in progress. A thread reads the byte that is written for each signal when it comes.
    """
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reading,), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        writing.close()


def _watch(reading: socket.socket) -> None:
    interrupted = False
    with reading:
        while received := reading.recv(1):
            if received[0] != signal.SIGINT:
                continue
            said = "interrupted at once" if interrupted else "stopping; Ctrl-C again ends at once"
            with contextlib.suppress(OSError):
                os.write(2, f"\nadml: {said}\n".encode())
            if interrupted:
                os._exit(INTERRUPTED)
            interrupted = True
