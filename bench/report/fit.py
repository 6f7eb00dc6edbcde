"""A fitted link for people: each direction, part by part, with its goodness of fit."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from bench.units import show, show_duration


def print_fit(found: Any, *, console: Console | None = None) -> None:
    """A :class:`bench.studies.fit.Fit`."""
    console = console or Console()

    def say(text: str = "", style: str = "") -> None:
        console.print(text, style=style or None, highlight=False, markup=False, soft_wrap=True)

    for side, source in (("left", found.left), ("right", found.right)):
        say(f"{side}: {source.file}, {source.packets} packets, SHA-256 {source.sha256[:16]}…")
    say(f"{found.flows} flows at both taps")
    for note in found.notes:
        say(f"note: {note}", "yellow")
    for direction, fitted in found.directions.items():
        say(direction, "bold")
        if fitted is None:
            say("  no packet went this way; assumed like the other")
            continue
        for line in _direction(fitted):
            say(f"  {line}")
        for note in fitted.notes:
            say(f"  note: {note}", "yellow")
        say(f"  fitted: {fitted.impairment.describe()}", "bold")


def _direction(fitted: Any) -> list[str]:
    return [
        f"packets: {fitted.sent} sent, {fitted.arrived} arrived, {fitted.loss.lost} lost on the "
        f"path, {fitted.rate.overflowed} in the queue, {fitted.duplicates} duplicates, "
        f"{fitted.ambiguous} ambiguous, {fitted.unmatched} unmatched, {fitted.in_flight} in flight",
        *_delay(fitted.delay),
        _loss(fitted.loss),
        _rate(fitted.rate),
        f"order: {show(fitted.reordered, '1')} of the arrivals overtaken; "
        f"duplication {show(fitted.duplication, '1')}",
        f"played back on these packets: KS {fitted.replay.ks:.3g} (critical "
        f"{fitted.replay.critical:.3g}), loss {show(fitted.replay.loss, '1')}, reordered "
        f"{show(fitted.replay.reordered, '1')}",
    ]


def _delay(delay: Any) -> list[str]:
    lines = [
        f"delay: min {show_duration(delay.least_s)}, p50 {show_duration(delay.p50_s)}, p99 "
        f"{show_duration(delay.p99_s)}, max {show_duration(delay.most_s)}; n {delay.n}, worth "
        f"{delay.effective_n:.0f} independent"
    ]
    for each in delay.ranking:
        if each.delay is None:
            lines.append(f"    {each.law}: cannot be: {each.refused}")
            continue
        chosen = " (chosen)" if each.law == delay.chosen.law else ""
        spread = f" ± {show_duration(each.delay.spread_s)}" if each.delay.spread_s else ""
        verdict = "fits" if each.accepted else "does not fit"
        lines.append(
            f"    {each.law}: {show_duration(each.delay.mean_s)}{spread}, KS {each.ks:.3g} "
            f"(critical {each.critical:.3g}): {verdict}{chosen}"
        )
    return lines


def _loss(loss: Any) -> str:
    if not loss.lost:
        return f"loss: none in {loss.n}, at most {show(loss.upper, '1')} (95 %)"
    runs = "" if loss.runs_p is None else f", independent by the runs test with p {loss.runs_p:.2g}"
    return (
        f"loss: {show(loss.ratio, '1')} ({show(loss.lower, '1')} to {show(loss.upper, '1')}), "
        f"bursts of {loss.burst_mean:.3g} in the mean, {loss.burst_most} at most; "
        f"{loss.chosen.name}{runs}"
    )


def _rate(rate: Any) -> str:
    if rate.rate_bps is None:
        least = (
            "" if rate.at_least_bps is None else f": at least {show(rate.at_least_bps, 'bit/s')}"
        )
        return f"rate: not visible{least}"
    queue = "never full" if rate.queue_s is None else show_duration(rate.queue_s)
    return (
        f"rate: {show(rate.rate_bps, 'bit/s')}, which leaves {rate.unexplained:.2g} of the delay's "
        f"variation; longest wait {show_duration(rate.wait_s)}, queue {queue}"
    )
