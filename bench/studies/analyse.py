"""``bench analyse``: two captures of one path in, every metric of every stream out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.captures.beside import both, shares
from bench.captures.beside import hands as hands_for
from bench.captures.flows import Capture
from bench.captures.matching import Arrival, Fate
from bench.captures.rules import StreamRule
from bench.captures.taps import SharedFlow, compare, read_captures
from bench.devices.profile import DeviceProfile
from bench.devices.rules import rules_of
from bench.errors import InputError
from bench.judge.outcomes import OK, exit_code
from bench.judge.verdict import Verdict
from bench.measure.figures import StreamFigures, stream_figures
from bench.measure.pairing import Flow
from bench.sessions.codec import to_json
from bench.studies.analyse_clock import Clock, GivenClock, clock_of
from bench.studies.analyse_evidence import Taps, capture_problems, stream_problems, taps_of
from bench.studies.analyse_judge import (
    TOWARDS,
    Asked,
    Evidence,
    carriers,
    check_alone,
    check_sides,
    headers_bytes,
    judged,
    unseen,
)
from bench.studies.analyse_notes import notes_of
from bench.studies.analyse_streams import Stream, Way, streams_of
from bench.studies.analyse_trips import RoundTrip, Trips, trips_of
from bench.studies.capture_files import digest, file_name
from bench.units import NS_PER_S

_NOTHING_KNOWN = GivenClock()
_NOTHING_ASKED = Asked((), None)

Tell = Callable[[str], None]
Each = Callable[["StreamResult", Flow], None]
"""Called with every stream while its packets are in memory."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of two captures.

    ``device``: finds and names the streams. ``only``: only streams with this in their name.
    ``nat``: addresses and ports may differ between the taps. ``clock``: what is known of the
    taps' clocks. ``bin_s``: of the throughput. ``survival_s``: an interruption counts as downtime
    beyond it. ``deadline_s``: later is lost, for on-time delivery. ``asked``: catalogue entries to
    judge. ``overlap``: judge the time that both captures cover, whatever lies outside. ``fit``: fit
    models of loss, which takes up to half a second per stream.
    """

    device: DeviceProfile | None = None
    only: str | None = None
    nat: bool = False
    clock: GivenClock = _NOTHING_KNOWN
    bin_s: float = 1.0
    survival_s: float | None = None
    deadline_s: float | None = None
    asked: Asked = _NOTHING_ASKED
    overlap: bool = False
    fit: bool = True

    @property
    def rules(self) -> tuple[StreamRule, ...]:
        """How the device's streams are found."""
        return () if self.device is None else rules_of(self.device)


@dataclass(frozen=True, slots=True)
class Source:
    """One capture: its file name, SHA-256 (empty: not asked for), and what must be known of it."""

    file: str
    sha256: str
    packets: int
    others: int
    truncated: bool
    dropped: int
    without_time: int
    snap_cut: int
    fragments: int
    resolution_s: float
    unshared: tuple[tuple[str, int], ...]
    undirected: int


@dataclass(frozen=True, slots=True)
class StreamResult:
    """One stream in one direction with its figures.

    ``flows``: the 5-tuples that carried it, one per link; ``seen_as``: their names at the other
    tap where addresses were translated. ``round_trip``: of TCP, at the
    sender's tap. ``problems``: what stands against judging it.
    """

    stream: str
    direction: Way
    flows: tuple[str, ...]
    seen_as: tuple[str, ...]
    ssrc: int | None
    numbered: bool
    figures: StreamFigures
    round_trip: RoundTrip | None
    problems: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Every key always there, SI units, ``null`` where empty."""
        own = {
            "stream": self.stream,
            "direction": self.direction,
            "towards": TOWARDS[self.direction],
            "links": len(self.flows),
            "flows": list(self.flows),
            "seen_as": list(self.seen_as),
            "ssrc": self.ssrc,
            "numbered": self.numbered,
            "round_trip": to_json(self.round_trip),
            "problems": list(self.problems),
        }
        found: dict[str, Any] = to_json(self.figures)
        return own | found


@dataclass(frozen=True, slots=True)
class Analysis:
    """What two captures tell of a path.

    ``requirements``: what was asked for, by id with the streams it was judged on.
    """

    left: Source
    right: Source
    clock: Clock
    streams: tuple[StreamResult, ...]
    requirements: tuple[tuple[str, tuple[str, ...]], ...]
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...]

    def exit_code(self, *, allow_inconclusive: bool) -> int:
        """0 where nothing was asked."""
        if not self.requirements:
            return OK
        outcomes = [verdict.verdict for verdict in self.verdicts]
        return exit_code(outcomes, allow_inconclusive=allow_inconclusive)

    def to_json(self) -> dict[str, Any]:
        """Every key always there, SI units, ``null`` where empty."""
        return {
            "captures": {"left": _source_json(self.left), "right": _source_json(self.right)},
            "clock": to_json(self.clock),
            "streams": [stream.to_json() for stream in self.streams],
            "requirements": [
                {"requirement": name, "streams": list(streams)}
                for name, streams in self.requirements
            ],
            "verdicts": [to_json(verdict) for verdict in self.verdicts],
            "notes": list(self.notes),
        }


def analyse(
    left: Path, right: Path, question: Question, *, each: Each | None = None,
    tell: Tell | None = None, hands: int | None = None, digests: bool = True,
) -> Analysis:  # fmt: skip
    """Analyse the path between two taps.

    Args:
        left: capture of one place, by convention the patient's side.
        right: capture of the other place, of the same traffic and time.
        question: what is asked.
        each: called with every stream and its packets, which are freed afterwards.
        tell: told what goes on, for large files.
        hands: processes, 1 or 2; as :func:`bench.captures.beside.hands` where None is given. What
            is found is the same.
        digests: the captures' SHA-256, for an answer that is kept: large files take seconds.

    Raises:
        InputError: what cannot be read, paired or judged; names the file and the remedy.
    """
    tell = tell or (lambda text: None)
    _check_two(left, right)
    hands = hands_for(left, right) if hands is None else hands
    if not digests:
        return _analysed(left, right, question, each, tell, hands)
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(_digest, path) for path in (left, right)]
        found = _analysed(left, right, question, each, tell, hands)
        known = [answer.result() for answer in answers]
    return replace(
        found,
        left=replace(found.left, sha256=known[0]),
        right=replace(found.right, sha256=known[1]),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """What two captures hold, without the captures: they are large."""

    flows: tuple[SharedFlow, ...]
    streams: list[Stream]
    taps: Taps
    trips: Trips
    sources: tuple[Source, Source]
    notes: list[str]
    turned: list[str]
    problems: list[str]


def _found(left: Path, right: Path, question: Question, tell: Tell, hands: int) -> _Found:
    """Read and pair."""
    tell(f"reading {left.name} and {right.name}")
    near, far = read_captures(left, right, rules=question.rules, nat=question.nat, hands=hands)
    tell(f"pairing {len(near)} and {len(far)} packets")
    offset_ns = round(question.clock.offset_s * NS_PER_S)
    paired = compare(near, far, nat=question.nat, offset_ns=offset_ns, hands=hands)
    streams = streams_of(paired, question.rules, question.only)
    turned = _check_streams(question, streams, f"{left.name}, {right.name}")
    sources = (
        _source(near, paired.unshared_left, paired.undirected[0]),
        _source(far, paired.unshared_right, paired.undirected[1]),
    )
    return _Found(
        paired.flows, streams, taps_of(paired), trips_of(paired, streams), sources,
        notes_of(paired), turned, capture_problems(paired),
    )  # fmt: skip


def _analysed(
    left: Path, right: Path, question: Question, each: Each | None, tell: Tell, hands: int
) -> Analysis:
    """All but the checksums."""
    found = _found(left, right, question, tell, hands)
    streams, sources, count = found.streams, found.sources, len(found.streams)
    tell(f"measuring {count} streams")
    clock, known = _measure_all(found, question, hands)
    evidence = Evidence(
        clock, found.taps.steps_s, (*found.problems, *clock.problems()),
        f"{sources[0].file},{sources[1].file}",
    )  # fmt: skip
    work = _Work(question, (found.taps, found.trips), evidence, each, count == 1)
    notes = [*found.notes, *clock.notes(), *found.turned]
    del found
    for place in range(count):
        stream = streams.pop(0)
        tell(f"stream {place + 1} of {count}: {stream.name}")
        work.take(stream, known.get(place))
    work.finish()
    return Analysis(
        *sources, clock, tuple(work.results), work.answered(), work.ordered(),
        (*notes, *work.notes),
    )  # fmt: skip


def _measure_all(
    found: _Found, question: Question, hands: int
) -> tuple[Clock, Mapping[int, _Measured]]:
    """The clocks; and what each stream measures, by its place, where two share the work."""
    streams, taps = found.streams, found.taps
    sizes = [each.packets for each in streams]
    clocks = sum(sizes) // 4  # what they take, in packets measured
    mine, theirs = shares(sizes, ahead=clocks) if hands > 1 else ([], [])

    def measure(places: list[int]) -> list[_Measured]:
        return [_measured(streams[place], None, question, taps) for place in places]

    (clock, own), others = both(
        lambda: (clock_of(found.flows, question.clock, sum(taps.steps_s)), measure(mine)),
        lambda: measure(theirs),
        hands,
    )
    return clock, dict(zip(mine + theirs, own + others, strict=True))


def _check_streams(question: Question, streams: list[Stream], files: str) -> list[str]:
    """What is to be noted of the streams as a whole.

    Raises:
        InputError: it cannot be told on which stream to judge, or from which side it comes.
    """
    check_alone(question.asked, streams)
    turned = check_sides(question.device, streams)
    if turned and question.asked.requirements:
        remedy = "give the capture of the patient's side first"
        raise InputError(turned, remedy=remedy, file=files)
    return [turned] if turned else []


def _check_two(left: Path, right: Path) -> None:
    if left.exists() and right.exists() and left.samefile(right):
        raise InputError(
            "is given twice", remedy="give two captures of two places", file=left,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Measured:
    """What one stream's packets say, and what stands against judging it."""

    figures: StreamFigures
    problems: tuple[str, ...]


def _measured(stream: Stream, flow: Flow | None, question: Question, taps: Taps) -> _Measured:
    """Measure a stream; ``flow``: its packets, where they are at hand."""
    flow = stream.flow() if flow is None else flow
    figures = stream_figures(
        flow, bin_s=question.bin_s, survival_s=question.survival_s,
        deadline_s=question.deadline_s, headers_bytes=headers_bytes(stream), fit=question.fit,
    )  # fmt: skip
    return _Measured(figures, tuple(stream_problems(stream, flow, taps, overlap=question.overlap)))


class _Work:
    """Goes through the streams, one in memory at a time."""

    def __init__(
        self, question: Question, seen: tuple[Taps, Trips], evidence: Evidence,
        each: Each | None, alone: bool,
    ) -> None:  # fmt: skip
        self.results: list[StreamResult] = []
        self.verdicts: list[Verdict] = []
        self.notes: list[str] = []
        self._question, self._evidence = question, evidence
        self._taps, self._trips = seen
        self._each, self._alone = each, alone

    def take(self, stream: Stream, known: _Measured | None) -> None:
        """Judge what is asked of one stream, hand its packets on.

        ``known``: what it measures, if that is known already.
        """
        question = self._question
        asked = question.asked.of(stream, self._alone)
        flow = stream.flow() if known is None or asked or self._each is not None else None
        if known is None:
            known = _measured(stream, flow, question, self._taps)
        first = stream.parts[0]
        result = StreamResult(
            stream.name, stream.direction,
            tuple(str(part.name) for part in stream.parts),
            tuple(str(p.far_name) for p in stream.parts if p.far_name is not None),
            first.ssrc, stream.numbered, known.figures,
            self._trips.get((first.name, first.forward)), known.problems,
        )  # fmt: skip
        self.results.append(result)
        self._note(stream)
        if flow is None:
            return
        against = (*self._evidence.problems, *known.problems)
        evidence = Evidence(
            self._evidence.clock, self._evidence.steps_s, against, self._evidence.session
        )
        for entry in asked:
            self.verdicts.append(judged(entry, question.device, stream, flow, evidence))
        if self._each is not None:
            self._each(result, flow)

    def _note(self, stream: Stream) -> None:
        sent, got = stream.count(Fate.AMBIGUOUS), stream.count(Arrival.AMBIGUOUS)
        if sent or got:
            self.notes.append(
                f"{stream.name} {stream.direction}: {sent} packets sent and {got} arrivals look "
                "alike and cannot be told apart; figures leave them out, verdicts count them at "
                "their worse end"
            )

    def finish(self) -> None:
        """Say of what was asked and not seen that it was not."""
        seen = {(verdict.requirement, verdict.stream) for verdict in self.verdicts}
        device = self._question.device
        for entry in self._question.asked.requirements:
            for name in carriers(entry, device):
                if (entry.id, name) not in seen and self._wanted(name):
                    session = self._evidence.session
                    self.verdicts.append(unseen(entry, device, name, session))

    def _wanted(self, name: str) -> bool:
        return self._question.only is None or self._question.only in name

    def answered(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """What was asked, each with the streams that it was judged on."""
        return tuple(
            (entry.id, tuple(v.stream for v in self.verdicts if v.requirement == entry.id))
            for entry in self._question.asked.requirements
        )

    def ordered(self) -> tuple[Verdict, ...]:
        """The verdicts in the order in which they were asked for."""
        order = [entry.id for entry in self._question.asked.requirements]
        return tuple(sorted(self.verdicts, key=lambda verdict: order.index(verdict.requirement)))


def _source(capture: Capture, unshared: Any, undirected: int) -> Source:
    return Source(
        file_name(capture.path), "", len(capture), capture.others, capture.truncated,
        capture.dropped, capture.without_time, capture.snap_cut, capture.fragments,
        capture.resolution_s, tuple((str(name), count) for name, count in unshared), undirected,
    )  # fmt: skip


def _digest(path: Path) -> str:
    """SHA-256 of a file; empty where it cannot be read, which reading it says."""
    try:
        return digest(path)
    except OSError:
        return ""


def _source_json(source: Source) -> dict[str, Any]:
    found: dict[str, Any] = to_json(source)
    unshared = [{"flow": name, "packets": count} for name, count in source.unshared]
    return found | {"unshared": unshared}
