"""The userspace emulator's speed and fidelity, side by side with a plain veth pair in one run.

``python -m benchmarks.userspace [--json] [--quick]``: needs root; everything happens in network
namespaces of its own, in less than three minutes. Three processes (sender, emulator, receiver)
share the machine's cores, so a rate is what all three reach together.

* ``floor`` and ``delay``: what a sender and a receiver on 1 kHz see beyond the delay asked for.
* ``jitter``: distance (Kolmogorov–Smirnov) to the truncated normal law, shift removed.
* ``loss``: what is missing against what was decided. ``change``: when a change took effect.
* ``forwarding``: the highest rate that passes whole through a clean link.
* ``envelope``: the highest rate at which p99 lateness stays below 1 ms, with delay, jitter and
  loss on and a receiver that takes every packet.
* ``tcp``: one stream, packet by packet and with 64 KB super-packets. ``starvation``: what a
  third, busy process gets of the cores meanwhile.
* ``peers``: what passes and how late with 10 ms of delay, beside wirefilter (Debian's packages
  vde-switch and vde-wirefilter), where it is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, truncnorm

from bench.network.impairment import CLEAN, Delay, Impairment, bernoulli
from bench.network.laws import DirectionLaw
from benchmarks import traffic, wirefilter
from benchmarks.traffic import Place, Received
from instruments.emulators.base import DirectionReport, LinkPlan
from instruments.emulators.userspace import Options, UserspaceEmulator

SEED = 5
US, MS, S = 1e3, 1e6, 1_000_000_000
SIZES = (64, 1400)
LATEST_S = 1e-3
NOISY = Impairment(Delay(0.010, "normal", 0.002), loss=bernoulli(0.01))
FORWARDING = (100e3, 200e3, 300e3, 350e3, 400e3, 500e3, 600e3)
ENVELOPE = (10e3, 25e3, 50e3, 75e3, 100e3, 125e3, 150e3, 200e3)

Changes = Sequence[tuple[int, Impairment]]


@contextmanager
def emulated(
    changes: Changes,
    options: Options | None = None,
    offloads: bool = False,
    t0_ns: int | None = None,
) -> Iterator[tuple[Place, Place, UserspaceEmulator]]:
    """Two places joined by an emulator; ``t0_ns`` is session time zero, by default now."""
    with traffic.wire(offloads=offloads) as (left, right):
        emulator = UserspaceEmulator(options)
        plan = LinkPlan("primary", "fa", "fb", (), tuple(changes), SEED)
        emulator.start([plan], time.monotonic_ns() if t0_ns is None else t0_ns)
        yield left, right, emulator


def stream(
    changes: Changes, rate_pps: float, size: int, seconds: float
) -> tuple[traffic.Sent, Received, DirectionReport]:
    """Numbered frames through the emulator to a receiver that takes them all."""
    with emulated(changes) as (left, right, emulator):
        right.call(traffic.listen)
        right.start(traffic.receive, round(rate_pps * seconds), seconds + 4.0)
        sent = left.call(traffic.send, rate_pps, size, seconds)
        received = right.result()
        return sent, received, emulator.stop().direction("primary", "to-doctor")


def quantiles_us(errors_ns: NDArray[Any]) -> dict[str, float]:
    """p50, p99, p99.9 and the maximum in µs."""
    if not len(errors_ns):
        return {}
    values = np.percentile(errors_ns, [50, 99, 99.9, 100]) / US
    return dict(zip(("p50", "p99", "p999", "max"), values.round(1).tolist(), strict=True))


def lateness_us(report: DirectionReport) -> dict[str, float]:
    """The emulator's own lateness in µs."""
    late = report.lateness
    if late is None or late.p50_s is None or late.p99_s is None:
        return {}
    named = {"p50": late.p50_s, "p99": late.p99_s, "p999": late.p999_s, "max": late.max_s}
    return {name: round(value * 1e6, 1) for name, value in named.items() if value is not None}


# Fidelity


def floor(seconds: float) -> dict[str, Any]:
    """A plain veth pair: what sender and receiver add, and how fast they are."""
    found: dict[str, Any] = {}
    with traffic.wire(joined=True) as (left, right):
        right.call(traffic.listen)
        right.start(traffic.receive, round(1000 * seconds), seconds + 4.0)
        left.call(traffic.send, 1000.0, 100, seconds)
        received = right.result()
        found["delay_us"] = quantiles_us(received.there_ns - received.made_ns)
        for size in SIZES:
            found[f"pps_{size}"] = round(left.call(traffic.send, 900e3, size, 0.4).rate_pps)
        right.start(traffic.tcp_take, 1.5)
        left.start(traffic.tcp_give, 1.5)
        found["tcp_bps"] = right.result()
        left.result()
    return found


def delay(seconds: float) -> dict[str, Any]:
    """Delay error at 1 kHz."""
    found = {}
    for delay_s in (0.005, 0.020, 0.050):
        _, received, report = stream([(0, Impairment(Delay(delay_s)))], 1000.0, 100, seconds)
        errors = received.there_ns - received.made_ns - round(delay_s * S)
        found[f"{delay_s * 1e3:g} ms"] = {
            "error_us": quantiles_us(errors),
            "earliest_us": round(float(errors.min()) / US, 1),
            "lateness_us": lateness_us(report),
        }
    return found


def jitter(count: int) -> dict[str, Any]:
    """KS distance to the law, shift removed; and that of the decided delays themselves."""
    mean_s, sigma_s = 0.020, 0.002
    state = Impairment(Delay(mean_s, "normal", sigma_s), order="allow")
    _, received, report = stream([(0, state)], 5000.0, 100, count / 5000.0)
    law = DirectionLaw([(0, state)], seed=SEED, name="primary/to-doctor")
    decided = np.array([law.offer(n * S, 100) - n * S for n in range(count)])
    return {
        "n": len(received.number),
        "ks": _ks(received.there_ns - received.made_ns, mean_s, sigma_s),
        "ks_decided": _ks(decided, mean_s, sigma_s),
        "lateness_us": lateness_us(report),
    }


def _ks(delays_ns: NDArray[np.int64], mean_s: float, sigma_s: float) -> float:
    """Least distance to the normal law cut at ± 4 σ, over small shifts."""
    sample = np.sort(delays_ns) * 1e-9
    steps = np.arange(1, len(sample) + 1) / len(sample)
    least = 1.0
    middle = float(np.median(sample)) - mean_s
    for shift in middle + np.linspace(-0.1, 0.1, 81) * sigma_s:
        expected = truncnorm.cdf((sample - shift - mean_s) / sigma_s, -4, 4)
        distance = max(
            np.abs(steps - expected).max(), np.abs(steps - 1 / len(steps) - expected).max()
        )
        least = min(least, float(distance))
    return round(least, 5)


def loss(seconds: float) -> dict[str, Any]:
    """Packets that are missing, against those that the law and the report name."""
    rate, p = 20e3, 0.01
    state = Impairment(Delay(0.005, "normal", 0.001), loss=bernoulli(p))
    sent, received, report = stream([(0, state)], rate, 200, seconds)
    law = DirectionLaw([(0, state)], seed=SEED, name="primary/to-doctor")
    kept = [number for number in range(sent.count) if law.offer(number * 50_000, 200) >= 0]
    low, high = binom.ppf([5e-7, 1 - 5e-7], sent.count, p)
    return {
        "sent": sent.count,
        "missing": sent.count - len(received.number),
        "decided": report.fates["lost"],
        "observed_minus_decided": sent.count - len(received.number) - report.fates["lost"],
        "same_packets_as_the_law_alone": received.number.tolist() == kept,
        "inside_binomial_interval": bool(low <= report.fates["lost"] <= high),
    }


def change(repeats: int) -> dict[str, Any]:
    """Scheduled delay steps at 10 k packets/s: by how much packets met the wrong side of one.

    A packet's arrival is taken as when it was made, a few µs before.
    """
    times = [round((0.3 + 0.1 * number) * S) for number in range(repeats)]
    quick = Impairment(Delay(0.005), order="allow")
    changes = [(0, quick)]
    for number, t_ns in enumerate(times):
        changes.append((t_ns, quick if number % 2 else quick.with_(delay=Delay(0.045))))
    t0_ns = time.monotonic_ns() + S // 2
    with emulated(changes, t0_ns=t0_ns) as (left, right, emulator):
        time.sleep(max(0.0, (t0_ns - time.monotonic_ns()) * 1e-9))
        seconds = 0.4 + 0.1 * repeats
        right.call(traffic.listen)
        right.start(traffic.receive, round(10e3 * seconds), seconds + 4.0)
        left.call(traffic.send, 10e3, 100, seconds)
        received = right.result()
        asked = []
        for _ in range(200):
            began = time.perf_counter_ns()
            emulator.change("primary", "to-doctor", CLEAN)
            asked.append(time.perf_counter_ns() - began)
        emulator.stop()
    slow = received.there_ns - received.made_ns > 25 * MS
    made = received.made_ns - t0_ns
    wrong = []
    for number, t_ns in enumerate(times):
        near = np.abs(made - t_ns) < 40 * MS
        new = slow == (number % 2 == 0)
        late = made[near & ~new].max(initial=0) - t_ns
        early = t_ns - made[near & new].min(initial=2 * t_ns)
        wrong.append(max(late, early, 0))
    return {
        "n": len(times),
        "wrong_side_us": quantiles_us(np.array(wrong)),
        "command_us": quantiles_us(np.array(asked)),
    }


# Speed


def forwarding(rates: Sequence[float], seconds: float) -> dict[str, Any]:
    """The highest rate that a clean link passes whole, into a kernel sink."""
    found = {}
    for size in SIZES:
        best, rows = 0.0, []
        for rate in rates:
            with emulated([]) as (left, right, emulator):
                before = right.call(traffic.counted)
                sent = left.call(traffic.send, rate, size, seconds)
                time.sleep(0.1)
                passed = right.call(traffic.counted) - before
                report = emulator.stop().direction("primary", "to-doctor")
            whole = passed >= sent.count
            rows.append([round(sent.rate_pps), passed / sent.count, lateness_us(report).get("p99")])
            if whole:
                best = max(best, sent.rate_pps)
        found[str(size)] = {"pps": round(best), "sent_passed_p99us": rows}
    return found


def envelope(rates: Sequence[float], seconds: float, repeats: int) -> dict[str, Any]:
    """Delay, jitter and loss on, a real receiver: median p99 of the repeats below 1 ms."""
    found = {}
    for size in SIZES:
        rows: list[dict[str, Any]] = []
        for rate in rates:
            rows.append(_at_rate(rate, size, seconds, repeats))
            if not any(row["inside"] for row in rows[-2:]) and len(rows) > 1:
                break
        inside = [row["pps"] for row in rows if row["inside"]]
        found[str(size)] = {"pps": max(inside, default=0), "rows": rows}
    return found


def _at_rate(rate: float, size: int, seconds: float, repeats: int) -> dict[str, Any]:
    runs = [stream([(0, NOISY)], rate, size, seconds) for _ in range(repeats)]
    late = [lateness_us(report) for _, _, report in runs]
    reached = float(np.median([sent.rate_pps for sent, _, _ in runs]))
    drops = sum(report.emulator_drops for _, _, report in runs)
    p99_us = float(np.median([entry["p99"] for entry in late]))
    return {
        "pps": round(reached),
        "inside": p99_us < LATEST_S * 1e6 and not drops and reached > 0.9 * rate,
        "p50_us": float(np.median([entry["p50"] for entry in late])),
        "p99_us": p99_us,
        "p99_of_each_us": [entry["p99"] for entry in late],
        "p999_us": float(np.median([entry["p999"] for entry in late])),
        "max_us": max(entry["max"] for entry in late),
        "drops": drops,
        "unexplained": sum(report.tx - len(got.number) - got.dropped for _, got, report in runs),
        "cpu": round(runs[0][2].cpu_s / runs[0][0].seconds, 2),
        "beyond": sorted({report.beyond_envelope for _, _, report in runs}),
    }


def tcp(seconds: float) -> dict[str, Any]:
    """One TCP stream through a clean link, bit/s."""
    found: dict[str, Any] = {}
    for name, options in (("packets", Options()), ("super_packets", Options(super_packets=True))):
        with emulated([], options, options.super_packets) as (left, right, emulator):
            right.start(traffic.tcp_take, seconds)
            left.start(traffic.tcp_give, seconds)
            found[f"{name}_bps"] = right.result()
            left.result()
            report = emulator.stop().direction("primary", "to-doctor")
            found[f"{name}_lateness_us"] = lateness_us(report)
            found[f"{name}_count"] = report.tx
    return found


def starvation(seconds: float) -> dict[str, Any]:
    """A busy process beside 50 k packets/s, through the emulator and on a plain veth pair."""
    place = Place()
    try:
        alone, _ = place.call(_work, seconds)
        place.start(_work, seconds)
        stream([(0, NOISY)], 50e3, 1400, seconds - 0.5)
        emulated_loops, emulated_wait_s = place.result()
        place.start(_work, seconds)
        with traffic.wire(joined=True) as (left, right):
            right.call(traffic.listen)
            right.start(traffic.receive, round(50e3 * (seconds - 0.5)), seconds + 4.0)
            left.call(traffic.send, 50e3, 1400, seconds - 0.5)
            right.result()
        plain_loops, plain_wait_s = place.result()
    finally:
        place.end()
    return {
        "share": round(emulated_loops / alone, 3),
        "share_on_plain_veth": round(plain_loops / alone, 3),
        "longest_wait_ms": round(emulated_wait_s * 1e3, 1),
        "longest_wait_on_plain_veth_ms": round(plain_wait_s * 1e3, 1),
    }


def _work(seconds: float) -> tuple[int, float]:
    """Loops done, and the longest pause."""
    now = time.monotonic
    begin = last = now()
    loops, longest = 0, 0.0
    while (t := now()) - begin < seconds:
        longest = max(longest, t - last)
        last = t
        loops += 1
    return loops, longest


def peers(rates: Sequence[float], seconds: float) -> dict[str, Any]:
    """A constant delay at rising rates: share that arrives, error of those that did."""
    state = Impairment(Delay(0.010))
    absent = wirefilter.missing()
    rows = []
    for rate in rates:
        sent, received, _ = stream([(0, state)], rate, 1400, seconds)
        row: dict[str, Any] = {"pps": rate, "userspace": _passed(sent, received)}
        if not absent:
            with wirefilter.joined(10.0) as (left, right):
                right.call(traffic.listen)
                right.start(traffic.receive, round(rate * seconds), seconds + 4.0)
                sent = left.call(traffic.send, rate, 1400, seconds)
                row["wirefilter"] = _passed(sent, right.result())
        rows.append(row)
    return {"rows": rows, "wirefilter_missing": absent}


def _passed(sent: traffic.Sent, received: Received) -> dict[str, Any]:
    errors = received.there_ns - received.made_ns - round(0.010 * S)
    earliest = round(float(errors.min()) / US, 1) if len(errors) else None
    share = round(len(errors) / sent.count, 4)
    return {"share": share, "error_us": quantiles_us(errors), "earliest_us": earliest}


# Everything


def measure(quick: bool, say: Callable[[str, Any], None]) -> None:
    """Run all parts in a namespace of its own; ``say`` gets each as it ends."""
    traffic.enter_namespace()
    say("floor", floor(1.0))
    say("delay", delay(0.5 if quick else 3.0))
    say("jitter", jitter(3000 if quick else 15_000))
    say("loss", loss(0.5 if quick else 3.0))
    say("change", change(4 if quick else 20))
    say("forwarding", forwarding(FORWARDING[2:4] if quick else FORWARDING, 0.3 if quick else 0.5))
    rates, repeats = (ENVELOPE[2:3], 1) if quick else (ENVELOPE, 3)
    say("envelope", envelope(rates, 0.5 if quick else 0.8, repeats))
    say("tcp", tcp(0.5 if quick else 2.0))
    say("starvation", starvation(1.0 if quick else 2.0))
    say("peers", peers((1e3, 10e3) if quick else (1e3, 10e3, 20e3, 40e3, 60e3), 0.8))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="one JSON object per part")
    parser.add_argument("--quick", action="store_true", help="a few seconds, to see that it works")
    arguments = parser.parse_args()

    def say(part: str, values: Any) -> None:
        if arguments.json:
            print(json.dumps({"part": part, **values}), flush=True)
        else:
            print(f"{part}: {json.dumps(values, indent=2)}", flush=True)

    start = time.monotonic()
    about = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2),
    }
    say("about", about)
    try:
        measure(arguments.quick, say)
    except PermissionError as error:
        sys.exit(f"benchmarks.userspace: {error.strerror}")
    say(
        "end", {"seconds": round(time.monotonic() - start, 1), "load": round(os.getloadavg()[0], 2)}
    )


if __name__ == "__main__":
    main()
