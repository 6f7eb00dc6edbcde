"""The netem emulator on a real kernel that has netem: Debian's User-Mode Linux.

The host's kernel may have no netem, so one is booted for this (:mod:`uml_boot`).
"""

import importlib.util
import os
import statistics
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from bench.network.delays import TABLE_SCALE, unit_table
from instruments.emulators.netem_state import option_attributes
from tests.support.host_time import kept_no_time

_FILE = Path(__file__).parent / "uml_boot.py"
_SPEC = importlib.util.spec_from_file_location("telemed_bench_uml_boot", _FILE)
uml_boot = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(uml_boot)

MS = 1_000_000
WAKING_NS = 10 * MS  # what the guest's kernel may need to wake for a packet


def unavailable(reason):
    if "netem-uml" in os.environ.get("TELEMED_BENCH_REQUIRE", "").split(","):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    try:
        answer, console = uml_boot.guest_result(lambda: tmp_path_factory.mktemp("uml"))
    except uml_boot.Unavailable as error:
        unavailable(str(error))
    if "failed" in answer:
        pytest.fail(f"{answer['failed']}\n{console[-2000:]}")
    return answer


def kept(flow):
    """The flow, during one of whose tries the guest kept time."""
    if not flow["kept_time"]:
        median, worst = (late / MS for late in flow["late_ns"])
        found = f"the sender was late by {median:.1f} ms, at worst {worst:.1f} ms"
        kept_no_time(f"{found}, {flow['tries']} times")
    return flow


def phase(result, name):
    """A phase of the flow: (numbers sent, {number: delay ns}, numbers as received).

    A delay is at most the true one: from before sending to the kernel's stamp at arrival.
    """
    flow = kept(result["flow"])
    sent = range(*flow["phases"][name])
    made = {number: made for number, _, made, _ in flow["sent"]}
    rows = [row for row in flow["rows"] if row[0] in sent]
    return sent, {number: arrived - made[number] for number, arrived in rows}, [n for n, _ in rows]


def late_ns(result):
    """How late a packet of the flow may have been: as late as its sender ever was, and 10 ms."""
    return result["flow"]["late_ns"][1] + WAKING_NS


def to_doctor(flow):
    """The emulator's report of the direction that the flow goes."""
    (report,) = (r for r in kept(flow)["report"]["directions"] if r["direction"] == "to-doctor")
    return report


def test_probe_sees_netem_come(result):
    assert result["before"] == [False, "cannot add netem: this kernel does not have it"]
    assert result["after"] == [True, "matchall", ""]
    kept = {
        "loss", "duplication", "reordering", "corruption", "rate", "64-bit rate", "times in ns",
        "distribution", "gilbert-elliott", "four-state", "slot",
    }  # fmt: skip
    takes_seed = tuple(map(int, result["kernel"].split(".")[:2])) >= (6, 6)
    assert set(result["keeps"]) == kept | ({"seed"} if takes_seed else set())


def test_the_guest_writes_to_memory_only(result):
    """The root is the host's; a tmpfs lies over the one folder that is written."""
    assert result["written"] == []


def test_interfaces_are_joined_by_what_the_kernel_has(result):
    assert [join["means"] for join in result["joins"]] == ["u32", "matchall"]
    assert all(join["there"] and join["back"] and join["leaks"] == 0 for join in result["joins"])


LATENCY64, JITTER64, SEED = 10, 11, 14


@pytest.fixture(scope="module")
def rows(result):
    """The settings, except those with a word that an older ``tc`` does not know."""
    old = [row["tc"] for row in result["tc"]["rows"] if row["tc_failed"]]
    if old:
        unavailable(f"this tc does not know {old}")
    return result["tc"]["rows"]


def test_what_is_sent_is_what_the_tc_program_sends(rows):
    """Every attribute that ``tc`` sends, byte for byte; the others say "nothing".

    An older ``tc`` sends times only in the header's ticks of 64 ns.
    """
    for row in rows:
        assert len(row["sent"]) == len(row["tc_sent"]) == 1, row["tc"]
        head, ours = option_attributes(bytes.fromhex(row["sent"][0]))
        their_head, theirs = option_attributes(bytes.fromhex(row["tc_sent"][0]))
        times = {}
        for kind, place in ((LATENCY64, 0), (JITTER64, 20)):
            (ticks,) = struct.unpack_from("=I", their_head, place)
            times[kind] = theirs.pop(kind, struct.pack("=q", ticks << 6))
        assert head[4:20] == their_head[4:20], row["tc"]
        assert {kind: ours[kind] for kind in times} == times, row["tc"]
        assert {kind: ours.get(kind) for kind in theirs} == theirs, row["tc"]
        extra = [ours[kind] for kind in ours if kind not in {*theirs, *times, SEED}]
        assert not any(map(any, extra)), row["tc"]
    assert len(rows) == 21


def test_the_tables_are_compared_too(rows):
    """None of the laws' tables is missing from what both send."""
    sent = [option_attributes(bytes.fromhex(row["tc_sent"][0]))[1] for row in rows]
    tables = {attributes[kind] for attributes in sent for kind in (2, 13) if kind in attributes}
    assert len(tables) == 5
    assert {len(table) for table in tables} == {8192}


def test_the_kernel_holds_the_same_after_a_change_as_after_the_tc_program(result, rows):
    """Nothing of the state before is left: theirs is a new qdisc each time, with a seed drawn."""
    for row in rows:
        head, ours = option_attributes(bytes.fromhex(row["kernel"]))
        their_head, theirs = option_attributes(bytes.fromhex(row["tc_kernel"]))
        theirs.pop(SEED, None)
        seed = ours.pop(SEED, None)
        assert (head, ours) == (their_head, theirs), row["tc"]
        assert row["read_back"], row["tc"]
        if "seed" in result["keeps"] and row["seed"] is not None:
            assert seed == struct.pack("=Q", row["seed"])
    assert "rate 8Mbit packetoverhead 24 cellsize 53" in result["tc"]["shown"]


def test_a_prebuilt_message_costs_less_than_pyroute2(result, record_property):
    """Measured 22 times less, 1,600 times less than ``tc``."""
    costs = result["costs_us"]
    record_property("change_us", costs)
    assert 3 * costs["prebuilt with a table"] < costs["pyroute2"] < costs["tc"]


def test_every_packet_met_one_state(result):
    """Changes are commanded in time, never early, read back; nobody sent around them.

    In time is 50 ms, and what the sender, which looks at the clock every 10 ms, was late there.
    """
    flow = result["flow"]
    changes = to_doctor(flow)["changes"]
    assert [change["t_ns"] for change in changes] == flow["changes"]
    assert len(changes) == 7
    sent = {number: (made, gone) for number, _, made, gone in flow["sent"]}
    for change, (first, end) in zip(changes, flow["phases"].values(), strict=True):
        t_ns = change["t_ns"]
        late = max(late for at, late in flow["ticks"] if t_ns <= at < t_ns + 100 * MS)
        assert t_ns <= change["commanded_ns"] < t_ns + 50 * MS + late
        assert change["commanded_ns"] < change["confirmed_ns"] < sent[first][0]
        assert change["read_back"] is True
        assert all(sent[end - 1][1] < later for later in flow["changes"] if later > sent[first][0])


def test_packets_are_accounted_for(result):
    """Each phase's losses are in the fate of its state, to the packet."""
    flow, report = result["flow"], to_doctor(result["flow"])
    lost = {}
    for name in flow["phases"]:
        sent, delays, order = phase(result, name)
        assert len(order) == len(delays)
        lost[name] = len(sent) - len(delays)
    assert report["rx"] == len(flow["sent"]) == 930
    assert report["tx"] == len(flow["rows"])
    assert report["in_flight"] == report["emulator_drops"] == 0
    assert report["fates"] == {
        "lost": lost["jitter"] + lost["bursts"],
        "queue_drop": 0,
        "down": lost["down"],
        "too_long": 0,
    }
    assert {name for name, count in lost.items() if count} == {"jitter", "down", "bursts"}


def test_a_clean_state_delays_nothing(result):
    for name in ("before", "after"):
        _, delays, order = phase(result, name)
        assert order == sorted(order)
        assert min(delays.values()) >= 0
        assert statistics.median(delays.values()) < late_ns(result)


def test_normal_jitter_with_loss_keeps_the_order(result):
    """50 ms ± 5 ms, 25 % of 200: six standard deviations of the loss are 18.4 %."""
    sent, delays, order = phase(result, "jitter")
    assert order == sorted(order)
    assert 0.066 < 1 - len(delays) / len(sent) < 0.434
    values = sorted(delays.values())
    assert values[0] >= 30 * MS  # the table ends at four standard deviations
    median, one_sigma = values[len(values) // 2], values[len(values) * 84 // 100]
    assert 47.5 * MS < median < 55 * MS + late_ns(result)
    assert 52.5 * MS < one_sigma < 60 * MS + late_ns(result)


def test_order_is_given_up_only_where_allowed(result):
    """At gaps of 5 ms, normal delays of σ 5 ms change places in 24 % of 199 pairs."""
    _, delays, order = phase(result, "overtaking")
    assert sum(a > b for a, b in pairwise(order)) >= 5
    assert len(delays) == 200
    assert min(delays.values()) >= 30 * MS


def test_uniform_jitter_stays_within_its_bounds(result):
    """Of 60 delays even over 40 … 60 ms, none in either outer quarter: P = 2 · 0.75⁶⁰ < 1e-7."""
    sent, delays, order = phase(result, "uniform")
    values = sorted(delays.values())
    assert len(values) == len(sent)
    assert order == sorted(order)
    assert 40 * MS <= values[0] < 45 * MS + late_ns(result)
    assert values[-1] > 55 * MS
    assert values[len(values) * 80 // 100] < 60 * MS + late_ns(result)


def test_a_link_that_is_down_drops_everything(result):
    sent, delays, _ = phase(result, "down")
    assert len(sent) == 30
    assert delays == {}


def test_gilbert_elliott_loses_in_bursts(result):
    """Stationary loss 28.6 %, standard deviation 4.9 %; after a loss 75 % (σ 4.1 %).

    Independent losses of the same number would follow a loss in 28.6 %.
    """
    sent, delays, _ = phase(result, "bursts")
    lost = [number not in delays for number in sent]
    assert 0.05 < sum(lost) / len(lost) < 0.6
    after_a_loss = [after for before, after in pairwise(lost) if before]
    assert sum(after_a_loss) > 0.5 * len(after_a_loss)
    values = sorted(delays.values())
    assert values[0] >= 20 * MS
    assert values[len(values) // 2] < 20 * MS + late_ns(result)


def test_a_rate_serialises_and_bounds_its_queue(result):
    """20 frames at once onto 0.2 Mbit/s: 42.64 ms each, seven places."""
    flow, report = result["limited"], to_doctor(result["limited"])
    frame_ns = 42_640_000
    first, last = flow["sent"][0][2], flow["sent"][-1][3]
    left_meanwhile = (last - first) // frame_ns  # none, where the burst was quick
    assert 7 <= len(flow["rows"]) <= 7 + left_meanwhile
    numbers = [number for number, _ in flow["rows"]]
    assert numbers == sorted(numbers)
    assert numbers[:7] == list(range(7))
    due = [first + place * frame_ns for place in range(1, 8)]
    late = [arrived - at for (_, arrived), at in zip(flow["rows"], due, strict=False)]
    assert min(late) >= -1000  # netem reckons a packet's time in whole ticks of 64 ns
    assert max(late) < last - first + 2 * flow["late_ns"][1] + WAKING_NS
    assert report["fates"] == {
        "lost": 0, "queue_drop": 20 - len(numbers), "down": 0, "too_long": 0,
    }  # fmt: skip
    assert report["rx"] == 20


def test_nothing_is_left_behind(result):
    for flow in (result["flow"], result["limited"]):
        assert "netem" not in flow["left"]
        assert "ingress" not in flow["left"]


RARE = 1e-6  # how often a right kernel may fail one of the following bounds


def burst(result, name):
    """A burst through the emulator, changed while it ran; its counters are to the packet."""
    found = result["laws"][name]
    if not found["kept_time"]:
        kept_no_time(f"{found['tries']} bursts {name}")
    late_ns, read_back = found["changed"]
    assert late_ns >= 0
    assert read_back is True
    return found


def allowance(found):
    """How late packets may have been, ns: as late as the guest was to look for them, and 10 ms."""
    return found["late_ns"] + WAKING_NS


def chances(step, weight, count):
    """Distribution of how often a Markov chain takes a step of weight 1, from state 0.

    ``step``: probabilities, shape (states, states); ``weight`` as many zeros and ones.
    """
    share = np.zeros((len(step), count + 1))
    share[0, 0] = 1.0
    plain, counted = step * (1 - weight), step * weight
    for _ in range(count):
        after = plain.T @ share
        after[:, 1:] += counted.T @ share[:, :-1]
        share = after
    return share.sum(axis=0)


def likely(found, distribution):
    """Whether neither tail from ``found`` on is rarer than RARE / 2."""
    return min(distribution[: found + 1].sum(), distribution[found:].sum()) > RARE / 2


def test_copies_are_made_and_counted(result):
    found = burst(result, "duplication")
    times = [found["order"].count(number) for number in range(4000)]
    assert set(times) == {1, 2}
    copies = times.count(2)
    assert likely(copies, binom.pmf(np.arange(4001), 4000, 0.25))
    counters = found["counters"]
    assert (counters["rx"], counters["accepted"], counters["copies"]) == (4000, 4000, copies)
    assert counters["tx"] == 4000 + copies
    assert sorted(found["order"]) == found["order"]


def test_four_state_loss_is_the_chain_s(result):
    """Losses, and losses right after a loss: figures for which no two can change places."""
    found = burst(result, "four-state")
    lost = np.ones(4000, dtype=bool)
    lost[found["order"]] = False
    p13, p31, p32, p23, p14 = 0.05, 0.3, 0.1, 0.8, 0.2
    step = np.array(
        [[1 - p13 - p14, 0, p13, p14], [0, 1 - p23, p23, 0], [p31, p32, 1 - p31 - p32, 0],
         [1, 0, 0, 0]]
    )  # fmt: skip
    losing = np.array([0, 0, 1, 1])
    after_loss = np.outer(losing, losing)
    assert likely(int(lost.sum()), chances(step, np.outer(np.ones(4), losing), 4000))
    assert likely(int((lost[1:] & lost[:-1]).sum()), chances(step, after_loss, 4000))
    assert found["counters"]["lost"] == lost.sum()


def test_a_damaged_frame_has_one_wrong_bit(result):
    found = burst(result, "bit errors")
    wrong = found["wrong_bits"]
    assert len(wrong) == 3000
    assert set(wrong) == {0, 1}
    share = 1 - (1 - 0.02 / 800) ** 800
    assert likely(wrong.count(1), binom.pmf(np.arange(3001), 3000, share))


def test_packets_skip_the_delay_as_often_as_they_may(result):
    """All were sent before the first delayed one was due: those that skip come first."""
    found = burst(result, "reordering")
    order = found["order"]
    delayed = next(place for place in range(1, 1001) if order[place] < order[place - 1])
    skipped = order[:delayed]
    assert order[delayed:] == sorted(set(range(1000)) - set(skipped))
    assert min(delay for delay in found["delays"][delayed:]) >= 400 * MS
    assert skipped[0] >= 4
    assert min(b - a for a, b in pairwise(skipped)) == 5
    assert found["counters"]["skipped"] == len(skipped)
    step, weight = np.zeros((5, 5)), np.zeros((5, 5))
    for place in range(4):
        step[place, place + 1] = 1
    step[4] = [0.25, 0, 0, 0, 0.75]
    weight[4, 0] = 1
    assert likely(len(skipped), chances(step, weight, 1000))


def test_a_table_of_measured_delays_is_drawn_from(result):
    """A quarter at 100 ms, the rest at 300 ms."""
    found = burst(result, "table")
    delays = found["delays"]
    assert len(delays) == 1000
    early = [delay for delay in delays if delay < 300 * MS]
    assert min(early) >= 100 * MS
    assert max(early) < 100 * MS + allowance(found)
    assert likely(len(early), binom.pmf(np.arange(1001), 1000, 0.25))
    assert max(delays) < 300 * MS + allowance(found)


def test_paretonormal_delays_follow_their_table(result):
    """Never early by more, nor, allowing for lateness, late by more than 2000 draws explain.

    Dvoretzky, Kiefer, Wolfowitz with Massart's constant: P(over) <= exp(-2 n over²).
    """
    found = burst(result, "paretonormal")
    delays = np.sort(found["delays"]) / 1e9
    assert len(delays) == 2000
    over = np.sqrt(np.log(2 / RARE) / (2 * 2000))
    table = 0.5 + 0.25 * np.sort(unit_table("paretonormal")) / TABLE_SCALE
    for number, delay in enumerate(delays):
        early = np.searchsorted(table, delay, side="right") / len(table)
        late = np.searchsorted(table, delay - allowance(found) / 1e9) / len(table)
        assert (number + 1) / 2000 <= early + over
        assert number / 2000 >= late - over
    assert delays[0] >= table[0] - 1e-6


def test_a_slot_releases_all_that_waits_together(result):
    found = burst(result, "slot")
    assert found["order"] == list(range(200))
    assert min(found["since_first"]) >= 200 * MS
    assert max(found["since_first"]) < 200 * MS + found["sending_ns"] + allowance(found)


def test_slots_are_drawn_evenly_between_their_bounds(result):
    """Of 40 between 10 and 40 ms, none in either half: P = 2 · 0.5⁴⁰ < 1e-11."""
    found = burst(result, "slots")
    waits = found["waits"]
    assert len(waits) == 40
    assert 10 * MS <= min(waits) < 25 * MS < max(waits)
    assert max(waits) < 40 * MS + allowance(found)


def test_a_queue_in_packets_holds_so_many(result):
    """Frames take 4.96 ms each."""
    found = burst(result, "queue")
    meanwhile = found["sending_ns"] // 4_960_000
    assert 7 <= len(found["order"]) <= 7 + meanwhile
    assert found["order"][:7] == list(range(7))
    assert found["counters"]["queue_drop"] == 60 - len(found["order"])


def test_a_change_has_places_for_what_still_waits(result):
    """1500 wait for 600 ms when the link becomes clean: 1000 places would drop the next 100."""
    assert burst(result, "places")["order"] == list(range(1600))


def test_changes_told_beforehand_come_in_time_however_close(result):
    """Every 5 ms; the emulator answers meanwhile."""
    found = result["laws"]["dense"]
    assert [t_ns for t_ns, *_ in found["found"]] == found["planned"]
    assert found["looks"] >= 3
    for t_ns, commanded, confirmed, read_back in found["found"]:
        assert t_ns <= commanded < confirmed
        assert read_back is True


def test_what_netem_does_not_tell_is_noted(result):
    notes = result["laws"]["notes"]
    assert "joined by matchall" in notes
    assert "primary/to-doctor: netem does not count damaged packets" in notes
    assert any("takes no seed" in note for note in notes) == ("seed" not in result["keeps"])
    assert not any("counts copies as packets" in note for note in notes)


def test_a_running_emulator_refuses_and_goes_on(result):
    laws = result["laws"]
    assert laws["refused"] == ["hold", "at_ns", "at_ns"]
    assert set(laws["read_back"]) == {True}
    assert laws["balanced"] is True


def test_draining_loses_and_disorders_nothing(result):
    """50 frames wait, 20 more come meanwhile."""
    found = burst(result, "drained")
    assert found["there"] == list(range(70))
    assert found["in_flight"] == 0


def test_what_still_waits_at_the_end_is_counted(result):
    at_once, drained = result["laws"]["cut"]
    for found in (at_once, drained):
        assert (found["there"], found["in_flight"], found["balanced"]) == (0, 20, True)
    assert at_once["s"] < 1.0 <= drained["s"] < 10
    ((waiting, within_s),) = drained["told"]
    assert waiting == 20
    assert 30 < within_s < 31.1
    (note,) = (note for note in drained["notes"] if "dropped" in note)
    assert note.endswith("were dropped: interrupted again")
