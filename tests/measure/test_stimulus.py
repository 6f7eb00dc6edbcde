"""The stimulus check: right links pass, wrong ones do not."""

import dataclasses
import json

import numpy as np
import pytest

from bench.measure.floor import NoiseFloor, StreamFloor
from bench.measure.percentiles import percentile_objection
from bench.measure.stimulus import achieved, health_problems, stall_problems
from bench.network.impairment import Delay, GilbertElliott, Impairment
from bench.network.scenario import Scenario, Segment, Step, both
from bench.sessions.instruments import RADIOS
from bench.sessions.packets import PacketTable
from bench.sessions.recording import Event

COMMAND = "haptic-command"
FLOOR = NoiseFloor("s", {COMMAND: StreamFloor(3e-5, 1e-4, 2e-4, 1e-3, 1e-4, 2e-4, 9)}, True)


def wrong(recording, floor=None):
    return {(s.step, s.phase, s.link, s.direction): s.reason
            for s in achieved(recording, floor) if not s.ok}  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["primary-outage", "blackout", "delay-ramp", "loss-step", "urumqi-shanghai",
     "radio-link-failure", "nr-handover", "local-stop", "steady"],
)  # fmt: skip
def test_the_law_itself_is_achieved(synthetic, name):
    recording = synthetic.healthy(name).recording()
    steps = achieved(recording, None)
    phases = sum(len(w.phases) for w in recording.schedule.windows)
    assert len(steps) == phases * len(recording.schedule.links) * 2
    assert wrong(recording) == {}
    json.dumps([dataclasses.asdict(step) for step in steps], allow_nan=False)


def test_also_on_a_bench_with_noise(synthetic):
    made = synthetic.healthy("delay-ramp", bench="local")
    made.extra_s = 0.0003
    assert wrong(made.recording(), FLOOR) == {}


@pytest.mark.parametrize(("extra_s", "refused"), [(0.0003, False), (0.0011, True)])
def test_delay_beyond_the_tolerance(synthetic, extra_s, refused):
    made = synthetic.healthy("steady", bench="local")
    made.extra_s = extra_s
    found = wrong(made.recording(), FLOOR)
    assert bool(found) is refused
    if refused:
        assert all("median" in reason for reason in found.values())


JITTERED = Impairment(Delay(0.0085, "uniform", 0.001), order="allow")


@pytest.mark.parametrize(("got", "meant"), [(2, 4), (1, 1), (3, 40), (40, 3), (300, 2000)])
def test_few_packets_of_a_right_law_are_no_objection(got, meant):
    """However they fall: a right law is refused once in 10⁶; one 5 ms off always."""
    draw = np.random.default_rng(got)
    for _ in range(300):
        seen, law = (8.5e-3 + draw.uniform(-1e-3, 1e-3, count) for count in (got, meant))
        assert percentile_objection(seen, law, (0.0, 0.0), JITTERED) == ""
        assert percentile_objection(seen + 5e-3, law, (0.0, 0.0), JITTERED) != ""


def over_a_radio(recording):
    """The same, as a laboratory tells it in which a real radio lies on the primary link."""
    told = Event(0, "bench", "bench", RADIOS, ["primary"])
    return dataclasses.replace(recording, events=(told, *recording.events))


def test_a_real_radio_on_a_link_may_delay_and_lose_more(synthetic):
    made = synthetic.healthy("steady", bench="lab")
    made.extra_s = 0.004
    made.tweak = lambda rows: rows[
        (rows["tap"] == synthetic.DOCTOR) | (rows["seq"] % 50 != 3) | (rows["link"] != 0)
    ]
    recording = made.recording()
    links = {"primary", "standby"}
    assert {link for _, _, link, _ in wrong(recording, FLOOR)} == links
    # Of the other link, which no radio carries, the law is all that there is.
    assert {link for _, _, link, _ in wrong(over_a_radio(recording), FLOOR)} == {"standby"}


def test_a_real_radio_takes_nothing_of_what_was_commanded_away(synthetic):
    early = synthetic.healthy("steady", bench="lab")
    early.extra_s = -0.002
    found = wrong(over_a_radio(early.recording()), FLOOR)
    reasons = [reason for (_, _, link, _), reason in found.items() if link == "primary"]
    assert reasons
    assert all("of the delay is" in reason and "+" not in reason for reason in reasons)
    # Nor what should have been lost and was not, nor what came through while the link was down.
    made = synthetic.healthy("loss-step")
    made.schedule = dataclasses.replace(made.schedule, changes=made.schedule.changes[:4])
    full = synthetic.healthy("loss-step")
    recording = dataclasses.replace(
        made.recording(), schedule=full.schedule, changes=full.recording().changes
    )
    name = full.schedule.windows[1].name
    assert (name, "loss", "primary", "to-patient") in wrong(over_a_radio(recording))


def test_two_packets_above_all_that_the_law_gave_are_no_objection():
    seen, law = np.array([8.8e-3, 9.1e-3]), np.array([7.6e-3, 7.7e-3, 7.9e-3, 8.1e-3])
    assert percentile_objection(seen, law, (0.0, 0.0), JITTERED) == ""
    assert percentile_objection(seen + 5e-3, law, (0.0, 0.0), JITTERED) != ""


def cut(synthetic, name, mask_of):
    made = synthetic.healthy(name)
    made.tweak = lambda rows: rows[~mask_of(rows)]
    return made.recording()


def between(rows, start_s, end_s):
    return (rows["t_ns"] >= start_s * 1e9) & (rows["t_ns"] < end_s * 1e9)


def test_loss_that_nobody_intended(synthetic):
    def mask(rows):
        return (rows["tap"] == synthetic.PATIENT) & (rows["link"] == 0) & (rows["seq"] == 2500)

    found = wrong(cut(synthetic, "steady", mask))
    assert list(found) == [("steady", "steady", "primary", "to-patient")]


def test_loss_late_in_a_long_phase_is_seen(synthetic):
    state = {n: both(Impairment(delay=Delay(0.005))) for n in ("primary", "standby")}
    scenario = Scenario("long", "", (Step("s", "hold", "within", (Segment("s", 30.0, state),)),))
    made = synthetic.Builder(scenario).heartbeats()
    made.tweak = lambda rows: rows[
        ~((rows["tap"] == synthetic.PATIENT) & between(rows, 28.0, 28.1))
    ]
    assert set(wrong(made.recording())) == {
        ("s", "s", link, "to-patient") for link in ("primary", "standby")
    }


def test_intended_loss_that_did_not_happen(synthetic):
    made = synthetic.healthy("loss-step")
    window = made.schedule.windows[1]
    made.schedule = dataclasses.replace(
        made.schedule, changes=made.schedule.changes[:4]
    )  # the emulator missed the step
    recording = made.recording()
    full = synthetic.healthy("loss-step")
    recording = dataclasses.replace(
        recording, schedule=full.schedule, changes=full.recording().changes
    )
    assert (window.name, "loss", "primary", "to-patient") in wrong(recording)


def test_a_packet_through_a_link_that_is_down(synthetic):
    made = synthetic.healthy("blackout")

    def leak(rows):
        sent = rows[(rows["tap"] == synthetic.DOCTOR) & (rows["stream"] == 1)]
        sent = sent[between(sent, 3.0, 3.001)].copy()
        sent["tap"], sent["t_ns"] = synthetic.PATIENT, sent["t_ns"] + 2_500_000
        return np.concatenate([rows, sent])

    made.tweak = leak
    reason = wrong(made.recording())["blackout", "blackout", "primary", "to-patient"]
    assert "while down" in reason


HOLE = Impairment(Delay(0.005), mtu_bytes=576)


def of_length(synthetic, length, through=()):
    """Packets so long through a link that lets 576 bytes pass; ``through``: that did, by number."""
    made = synthetic.healthy("steady", bench="local")
    recording = made.recording()
    changes = tuple(
        dataclasses.replace(c, impairment=HOLE) if c.link == "primary" else c
        for c in recording.schedule.changes
    )
    rows = recording.packets.rows.copy()
    rows["size"] = length
    far = rows["tap"] == np.where(rows["direction"] == 0, 1, 0)
    gone = far & (rows["link"] == 0) & (length > 590) & ~np.isin(rows["seq"], through)
    return dataclasses.replace(
        recording,
        schedule=dataclasses.replace(recording.schedule, changes=changes),
        packets=PacketTable(rows[~gone]),
    )


def test_a_hole_for_long_packets(synthetic):
    assert of_length(synthetic, 1000).schedule.changes[0].impairment == HOLE
    assert {reason for place, reason in wrong(of_length(synthetic, 1000)).items()} == set()
    leak = wrong(of_length(synthetic, 1000, through=[30]))
    assert leak
    assert all("came through that were too long" in reason for reason in leak.values())
    idle = wrong(of_length(synthetic, 590))
    assert {place[2] for place in idle} == {"primary"}
    assert all("none could vanish" in reason for reason in idle.values())


def test_a_hold_that_did_not_hold(synthetic):
    made = synthetic.healthy("nr-handover")
    start, end = made.schedule.windows[1].phase("gap")

    def release(rows):
        sent = {(int(r["link"]), int(r["stream"]), int(r["direction"]), int(r["seq"])): r["t_ns"]
                for r in rows[rows["tap"] == np.where(rows["direction"] == 0, 0, 1)]}  # fmt: skip
        far = rows["tap"] == np.where(rows["direction"] == 0, 1, 0)
        for i in np.nonzero(far)[0]:
            r = rows[i]
            key = (int(r["link"]), int(r["stream"]), int(r["direction"]), int(r["seq"]))
            if start <= sent[key] < end and r["link"] == 0:
                rows["t_ns"][i] = sent[key] + 5_000_000
        return rows

    made.tweak = release
    assert ("handover", "gap", "primary", "to-patient") in wrong(made.recording())


def test_a_change_that_was_not_commanded_or_late(synthetic):
    recording = synthetic.healthy("blackout").recording()
    without = dataclasses.replace(recording, changes=())
    assert len(wrong(without)) == len(achieved(without, None))
    late = tuple(
        dataclasses.replace(c, commanded_ns=c.t_ns + 20_000_000) if c.t_ns else c
        for c in recording.changes
    )
    reasons = wrong(dataclasses.replace(recording, changes=late))
    assert all("20 ms late" in reason for reason in reasons.values())
    assert len(reasons) == 8
    never = tuple(dataclasses.replace(c, commanded_ns=None) for c in recording.changes)
    assert wrong(dataclasses.replace(recording, changes=never))


def test_no_evidence_counts_against_a_state_that_was_asked_for(synthetic):
    """Without any packet on primary during its outage, nothing shows that it was down."""

    def mask(rows):
        return (rows["link"] == 0) & between(rows, 1.99, 4.1)

    found = wrong(cut(synthetic, "primary-outage", mask))
    assert ("outage", "outage", "primary", "to-patient") in found
    assert "no evidence" in found["outage", "outage", "primary", "to-patient"]


def test_no_packet_on_a_link_that_keeps_its_state_is_no_objection(synthetic):
    found = wrong(cut(synthetic, "primary-outage", lambda rows: rows["link"] == 1))
    assert all(link == "primary" for _, _, link, _ in found)


@pytest.mark.parametrize("seed", range(6))
def test_bursty_loss_gets_its_design_effect(synthetic, seed):
    """As independent losses, three of these six would be refused."""
    bursty = Impairment(delay=Delay(0.005), loss=GilbertElliott(0.002, 0.05))
    state = {"primary": both(bursty), "standby": both(Impairment(delay=Delay(0.005)))}
    scenario = Scenario("b", "", (Step("s", "loss", "beyond", (Segment("s", 4.0, state),)),))
    made = synthetic.Builder(scenario, seed=seed).heartbeats().stream(COMMAND)
    assert wrong(made.recording()) == {}


def test_a_full_queue_is_intended(synthetic):
    slow = Impairment(delay=Delay(0.002), rate_bps=10e6, queue_s=0.05)
    state = {"primary": both(slow), "standby": both(Impairment(delay=Delay(0.005)))}
    scenario = Scenario("q", "", (Step("s", "hold", "beyond", (Segment("s", 2.0, state),)),))
    made = synthetic.Builder(scenario).heartbeats().stream("video-3d")
    recording = made.recording()
    lost = next(s for s in achieved(recording, None) if s.direction == "to-doctor")
    assert lost.achieved_loss > 0.5
    assert wrong(recording) == {}


@pytest.mark.parametrize(
    "lateness",
    [{"p99": 0.0011, "max": 0.002}, {"p99": 0.5, "max": 0.5}, {}],
)
def test_lateness_of_the_emulator(synthetic, lateness):
    made = synthetic.healthy("steady", bench="local")
    assert health_problems(made.recording()) == ()
    assert health_problems(made.recording(lateness_s=lateness))


def test_the_kernel_emulator_cannot_know_its_lateness(synthetic):
    recording = synthetic.healthy("steady", bench="local").recording(lateness_s={})
    assert health_problems(dataclasses.replace(recording, backend="netem")) == ()


@pytest.mark.parametrize(
    ("late", "stalled"),
    [
        ({"lateness_s": {"p99": 1e-4, "max": 0.031}}, True),
        ({"lateness_s": {"p99": 1e-4, "max": 0.029}}, False),
        ({"counters": {"patient/timer_late_max_ns": 31_000_000}}, True),
        ({"counters": {"doctor/timer_late_max_ns": 31_000_000}}, True),
        ({"counters": {"doctor/timer_late_max_ns": 29_000_000}}, False),
    ],
)
def test_a_stall_of_the_host_spoils_reaction_times(synthetic, late, stalled):
    made = synthetic.healthy("steady", bench="local")
    recording = made.recording()
    health = dataclasses.replace(recording.health, **late)
    recording = dataclasses.replace(recording, health=health)
    assert bool(stall_problems(recording)) is stalled
