"""Sessions of the stand-in device, benches that know it, and a sink that keeps everything.

Loaded by path: by conftest.py, and by the programs that the lifetime tests start.
"""

from __future__ import annotations

import importlib.util
from datetime import timedelta
from pathlib import Path
from types import ModuleType

from cryptography.x509.oid import ExtendedKeyUsageOID

from bench.benches.base import BenchError
from bench.benches.local.bench import LocalBench
from bench.benches.local.carriage import credentials
from bench.network.impairment import CLEAN, Impairment
from bench.network.scenario import Action, Scenario, Segment, Step, both
from bench.sessions.recording import Recording, Session
from tests.support.host_time import HostTime, NotShown, shown, watched

NOT_READY = "not ready at the session's start"
"""What a bench says of processes that a busy host did not let begin in time."""

STANDIN = Path(__file__).with_name("standin.py")
TRIES = 4
WORST_LATE_S = 0.01
"""While a session runs, what one may be late who only keeps time."""


def load(file: Path) -> ModuleType:
    """A module by its path."""
    spec = importlib.util.spec_from_file_location(f"local_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class ListSink:
    """Keeps everything; captures go to ``folder`` where one is given."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self.rows: list = []
        self.events: list = []
        self.reports: list = []

    def packets(self, rows) -> None:
        self.rows.append(rows)

    def event(self, event) -> None:
        self.events.append(event)

    def capture_path(self, name: str) -> Path | None:
        return None if self.folder is None else self.folder / name

    def progress(self, progress) -> None:
        self.reports.append(progress)


def identity(
    side: str, *, authority: credentials.Authority, shown: str = "right",
    anchor: credentials.Authority | None = None,
) -> credentials.Identity:  # fmt: skip
    """One side's of the stand-in, with what is asked of its certificate wrong.

    ``shown``: ``right``, ``expired``, ``misnamed``, ``purpose`` (for signing code), ``none``.
    """
    names = {"patient": "device.stand-in", "doctor": "console.stand-in"}
    age = timedelta(days=2) if shown == "expired" else timedelta()
    name = "somebody.else" if shown == "misnamed" else names[side]
    purposes = {"purpose": (ExtendedKeyUsageOID.CODE_SIGNING,)}.get(shown, credentials.PURPOSES)
    made = authority.issue(name, age, purposes)
    certificate, key = (None, None) if shown == "none" else made
    other = names["doctor" if side == "patient" else "patient"]
    return credentials.Identity(certificate, key, (anchor or authority).certificate, other)


class Kit:
    """Makes sessions of the stand-in device and benches that know it."""

    standin = load(STANDIN)
    build = f"{STANDIN}:build"
    sink = ListSink
    not_ready = NOT_READY
    worst_late_s = WORST_LATE_S
    identity = staticmethod(identity)

    def __init__(self) -> None:
        self._kept: tuple[str, LocalBench] | None = None

    def scenario(
        self, duration_s: float, impairment: Impairment = CLEAN, actions: tuple[Action, ...] = ()
    ) -> Scenario:
        links = {"primary": both(impairment), "standby": both(CLEAN)}
        step = Step("only", "hold", "within", (Segment("hold", duration_s, links),))
        return Scenario("stand-in", "Stand-in", (step,), actions)

    def session(self, duration_s: float, impairment: Impairment = CLEAN, **rest) -> Session:
        actions = rest.pop("actions", ())
        device = self.standin.profile(**rest)
        return Session("tests", device, self.scenario(duration_s, impairment, actions), seed=7)

    def bench(self, **options) -> LocalBench:
        """A bench of its own."""
        self.let_go()
        options = {"build": self.build, "backend": "userspace", "wait_s": 240.0, **options}
        return LocalBench(**options)  # waits as long as a whole demo

    def kept_bench(self, build: str = "bench.devices.registry:build") -> LocalBench:
        """An entered bench, which others that ask for the same one get as well.

        Its host process takes two seconds to start. :meth:`let_go` ends it.
        """
        if self._kept is None or self._kept[0] != build:
            bench = self.bench(build=build)
            bench.__enter__()
            self._kept = build, bench
        return self._kept[1]

    def let_go(self) -> None:
        """Leave the kept bench, where there is one."""
        if self._kept is not None:
            self._kept[1].__exit__(None, None, None)
            self._kept = None

    def run(self, bench: LocalBench, session: Session, sink: ListSink) -> Recording:
        """Run a session; again where its processes were not ready in time."""

        def attempt() -> Recording:
            try:
                return bench.run(session, sink)
            except BenchError as error:
                if NOT_READY not in str(error):
                    raise
                raise NotShown(NOT_READY) from None

        return shown(attempt, TRIES)

    def watched_run(
        self, session: Session, sink_of=ListSink
    ) -> tuple[Recording, ListSink, HostTime]:
        """A recording, its sink, and how the host kept time during that session.

        Again, ``TRIES`` times in all, where it did not.
        """
        bench = self.kept_bench(self.build)
        for _ in range(TRIES):
            sink = sink_of()
            with watched() as host:
                recording = self.run(bench, session, sink)
            host = host.between(bench.t0_ns, bench.t0_ns + recording.schedule.end_ns)
            if host.kept(WORST_LATE_S):
                break
        return recording, sink, host
