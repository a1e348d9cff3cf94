"""The program decides nothing on a `reason`, which is text for people."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.noise import Noisy, noise, plain, values_with_a_reason
from worker.domain.call import NotSent
from worker.domain.outcome import Retry
from worker.domain.pacing.lane import LaneBlock, LaneState
from worker.domain.settle import PartFacts

ROOT = Path(__file__).parents[2]
DECIDING = ["lanes", "webhook_callbacks", "token_parking", "usage", "remote_files", "batch", "penalties", "windows"]


@pytest.mark.slow_checkout("runs eight files of tests")
def test_pipeline_tests_pass_when_every_reason_is_noise() -> None:
    """On SQLite, for the whole suite takes minutes: `make test ARGS="-p tests.support.noise tests/pipeline"` runs that.

    These are the files about what was once decided on a reason: blocks that are told apart and lifted, chats that open
    again, refused tokens and their probes, parts that are counted by the limit they wait for, a fetch that is broken
    off, lanes found full, calls that never left and vendors out of reach.
    """
    files = [f"tests/pipeline/test_{name}.py" for name in DECIDING]
    options = ["-q", "-p", "tests.support.noise", "-p", "no:cacheprovider", "-m", "not (postgres or mariadb)"]

    run = subprocess.run([sys.executable, "-m", "pytest", *options, *files], cwd=ROOT, capture_output=True, text=True)

    assert run.returncode == 0, run.stdout[-5000:]


def test_noise_says_nothing_and_can_be_read_back() -> None:
    """Another word each time, also for the same text; a copy stays the same, and text around it is kept."""
    first, second = noise("limit app_day is used up"), noise("limit app_day is used up")

    assert first != second
    assert "app_day" not in first
    assert first == noise(first)
    assert plain(f"held: {second}") == "held: limit app_day is used up"


def test_every_value_that_holds_a_reason_gets_noise() -> None:
    """Also in a class whose values are frozen; outcomes, blocks and facts are among the classes found."""

    @dataclass(frozen=True, slots=True)
    class Said:
        reason: str

    Said.reason = Noisy(vars(Said)["reason"])  # type: ignore[misc,assignment]
    said = Said("full")

    assert {Retry, LaneBlock, LaneState, PartFacts, NotSent} <= {holder for holder, _ in values_with_a_reason()}
    assert "full" not in said.reason
    assert plain(said.reason) == "full"
