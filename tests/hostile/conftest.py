"""How many hostile inputs of each kind are tried, the same ones every time."""

from __future__ import annotations

import gc
import os
import time
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, settings

MUTATIONS = int(os.environ.get("ADML_MUTATIONS", "400"))
LONGEST_S = 2.0

settings.register_profile(
    "hostile",
    max_examples=MUTATIONS,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("hostile")


@pytest.fixture(scope="session")
def mutations() -> int:
    """How many; ADML_MUTATIONS tells."""
    return MUTATIONS


@pytest.fixture(scope="session")
def soon():
    """A context that may keep the processor busy for two seconds."""

    @contextmanager
    def within():
        gc.freeze()  # what other tests have imported is not looked through again and again
        begun_s = time.process_time()
        try:
            yield
        finally:
            spent_s = time.process_time() - begun_s
            gc.unfreeze()
            assert spent_s < LONGEST_S

    return within
