"""What a test of real packets makes of a host that keeps no time: a skip, never a pass."""

from __future__ import annotations

import contextlib
import time

import pytest

from tests.support import host_time
from tests.support.host_time import HostTime, NotShown, demand, shown, watched

QUIET = [(i * 0.005, 1e-4) for i in range(200)]
KEPT = HostTime(QUIET, idle=0.5)


@pytest.fixture
def hosts(monkeypatch):
    """Says how the host keeps time, a try after the other."""

    def say(*found):
        coming = iter(found)
        monkeypatch.setattr(
            host_time, "watched", lambda: contextlib.nullcontext(next(coming))
        )  # fmt: skip

    return say


def tries(*results):
    coming = iter(results)

    def attempt():
        result = next(coming)
        if result is None:
            raise NotShown("the emulator was late")
        return result

    return attempt


BUSY = HostTime(QUIET, idle=0.01)
LATE = HostTime([(t, 2e-3 if i % 50 == 0 else late) for i, (t, late) in enumerate(QUIET)])
STALLED = HostTime([*QUIET, (1.0, 0.08)])
SLOW = HostTime([(t, 1e-3) for t, _ in QUIET])


@pytest.mark.parametrize("noisy", [BUSY, LATE, STALLED, SLOW], ids=["busy", "p99", "worst", "p50"])
def test_where_the_host_never_kept_time_it_is_a_skip(hosts, noisy):
    assert not noisy.kept()
    hosts(noisy, noisy, KEPT)
    with pytest.raises(pytest.skip.Exception, match=r"NOT SHOWN, the host kept no time: .*late, 3"):
        shown(tries(None, None, None), 3)


def test_where_the_host_kept_time_it_is_a_failure(hosts):
    assert KEPT.kept()
    hosts(KEPT, LATE, KEPT)
    with pytest.raises(pytest.fail.Exception, match="although the host kept time"):
        shown(tries(None, None, None), 3)
    hosts(KEPT)
    with pytest.raises(pytest.fail.Exception, match="although the host kept time"):
        shown(tries(None), 1)


def test_the_first_that_shows_something_is_taken_and_no_other_error_is_hidden(hosts):
    hosts(LATE, LATE, LATE)
    assert shown(tries(None, 7, 8), 3) == 7

    def wrong():
        raise AssertionError("a wrong figure")

    hosts(LATE)
    with pytest.raises(AssertionError, match="a wrong figure"):
        shown(wrong, 3)


def test_only_the_session_counts():
    assert STALLED.between(0, 900_000_000).kept()
    demand(STALLED.between(0, 900_000_000))
    assert not STALLED.kept()
    assert STALLED.kept(0.1)
    with pytest.raises(pytest.skip.Exception, match="NOT SHOWN"):
        demand(STALLED)


def test_somebody_looks_on_meanwhile():
    with watched() as host:
        began = time.monotonic()
        time.sleep(0.3)
    assert len(host.wakes) > 2
    assert any(due > began for due, _ in host.wakes)
    assert all(late >= 0 for _, late in host.wakes)
    assert 0 <= host.idle <= 1
    assert "a sleeper woke late by" in str(host)
