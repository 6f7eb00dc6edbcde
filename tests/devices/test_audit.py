"""The audit log of a device: its chain, its commits, its clock, what it stores and gives out."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from bench.devices.audit import Audit, AuditTraits
from bench.devices.audit_store import (
    EDITS,
    LEAST_TO_EDIT,
    TRANSITIONS,
    Anchor,
    AuditStore,
    Commit,
    CommitEvent,
    Entry,
    chained,
    verify,
)
from bench.devices.ports import Message
from bench.units import ns

CONTENTS = some.none() | some.integers(-9, 9) | some.text(max_size=3)
KINDS = some.sampled_from(["operator", "command", "alarm"])
LOGS = some.lists(some.tuples(some.integers(0, 10**12), KINDS, CONTENTS), min_size=1, max_size=8)


def log_of(drawn):
    return chained([Entry(n, t, k, "name", c) for n, (t, k, c) in enumerate(drawn, 1)])


def anchor_of(log):
    return Anchor(len(log), log[-1].chain)


# ---- the chain -------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(LOGS)
def test_a_log_as_written_is_sound(drawn):
    log = log_of(drawn)
    assert verify(log, anchor_of(log)) == ""


@settings(max_examples=60, deadline=None)
@given(LOGS, some.data())
def test_an_edit_of_any_field_is_found(drawn, data):
    log = log_of(drawn)
    place = data.draw(some.integers(0, len(log) - 1))
    field, value = data.draw(
        some.sampled_from(
            [
                ("number", log[place].number + 1),
                ("clock_ns", log[place].clock_ns + 1),
                ("kind", "forged"),
                ("name", "forged"),
                ("content", {"forged": log[place].content}),
                ("chain", "0" * 64),
            ]
        )
    )
    edited = [*log]
    edited[place] = replace(log[place], **{field: value})
    assert verify(edited, anchor_of(log)) != ""


@settings(max_examples=60, deadline=None)
@given(LOGS, some.data())
def test_any_deletion_insertion_or_reordering_is_found_also_when_chained_anew(drawn, data):
    log = log_of(drawn)
    how = data.draw(some.sampled_from(["delete", "insert", "reorder"]))
    place = data.draw(some.integers(0, len(log) - 1))
    if how == "delete":
        edited = log[:place] + log[place + 1 :]
    elif how == "insert":
        edited = [*log[:place], replace(log[place], name="forged"), *log[place:]]
    else:
        edited = data.draw(some.permutations(log))
        if edited == log:
            return
    assert verify(edited, anchor_of(log)) != ""
    numbered = [replace(entry, number=n) for n, entry in enumerate(edited, 1)]
    anew = chained(numbered)
    if anew != log:
        assert verify(anew, anchor_of(log)) != ""


def test_without_the_anchor_a_cut_off_end_would_not_be_found():
    log = log_of([(n, "alarm", n) for n in range(5)])
    assert verify(log[:-1], None) == ""
    assert verify(log[:-1], anchor_of(log)) != ""


# ---- the store -------------------------------------------------------------------------------


def test_the_commit_table_is_complete_and_only_what_is_buffered_is_lost():
    live = (Commit.BUFFERED, Commit.SYNCED)
    assert set(TRANSITIONS) == {(state, event) for state in live for event in CommitEvent}
    lost = [pair for pair, to in TRANSITIONS.items() if to is Commit.LOST]
    assert lost == [(Commit.BUFFERED, CommitEvent.POWER_CUT)]


STEPS = some.lists(some.sampled_from(["write", "write", "sync", "cut"]), max_size=40)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_a_power_cut_at_any_moment_keeps_every_synced_entry_and_nothing_else(steps):
    store, synced, buffered, time_ns = AuditStore(1000), [], [], 0
    for step in steps:
        if step == "write":
            time_ns += 1
            assert store.append(time_ns, "alarm", "name", time_ns)
            buffered.append(time_ns)
        elif step == "sync":
            store.sync()
            synced, buffered = synced + buffered, []
        else:
            store.power_cut()
            buffered = []
            assert set(store.states) <= {Commit.SYNCED}
            assert store.check() == ""
        assert [entry.content for entry in store.entries] == synced + buffered
    store.sync()
    assert store.check() == ""
    assert [entry.number for entry in store.entries] == list(range(1, len(store) + 1))


@pytest.mark.parametrize("how", EDITS)
@settings(max_examples=20, deadline=None)
@given(before=some.integers(LEAST_TO_EDIT, 8), after=some.integers(0, 3))
def test_every_edit_of_the_bench_is_found_and_put_back(how, before, after):
    store = AuditStore(100)
    for n in range(before):
        store.append(n, "alarm", "name", n)
    store.sync()
    sound = store.entries
    store.edit(how)
    assert store.entries != sound
    for n in range(after):
        store.append(100 + n, "alarm", "later", n)
    store.sync()
    assert store.check() != ""
    store.restore()
    assert store.entries[:before] == sound
    assert len(store) == before + after
    assert store.check() == ""


def test_a_store_takes_what_it_has_room_for_and_keeps_it():
    store = AuditStore(3)
    assert [store.append(n, "alarm", "name", n) for n in range(4)] == [True, True, False, False]
    assert store.append(9, "device", "log-full", {}, last=True)
    assert not store.append(9, "device", "log-full", {}, last=True)
    assert [entry.content for entry in store.entries] == [0, 1, {}]
    store.free()
    assert not store.append(9, "alarm", "name", 9)


def test_filled_from_outside_only_the_last_place_remains_until_it_is_freed():
    store = AuditStore(100)
    store.append(1, "alarm", "name", 1)
    store.fill()
    assert not store.append(2, "alarm", "name", 2)
    store.free()
    assert store.append(3, "alarm", "name", 3)


# ---- the log of a side -----------------------------------------------------------------------


class Port:
    """Keeps what leaves the device, and its timers."""

    def __init__(self):
        self.seen, self.timers = [], []

    def at(self, t_ns, call):
        self.timers.append((t_ns, call))

    def send(self, now_ns, link, message):
        self.seen.append(("send", now_ns, message))

    def follow(self, now_ns, link):
        pass

    def send_burst(self, now_ns, link, message, count):
        self.seen.append(("send_burst", now_ns, message))

    def actuate(self, now_ns, message):
        self.seen.append(("actuate", now_ns, message))

    def contact(self, now_ns, name, value):
        self.seen.append(("contact", now_ns, name, value))

    def signal(self, now_ns, name, value):
        self.seen.append(("signal", now_ns, name, value))

    def log(self, now_ns, name, value):
        self.seen.append(("log", now_ns, name, value))

    def run_to(self, t_ns):
        while due := sorted((t for t in self.timers if t[0] <= t_ns), key=lambda t: t[0]):
            self.timers.remove(due[0])
            due[0][1](due[0][0])

    def last(self, name):
        return next(each[3] for each in reversed(self.seen) if each[2] == name)


def made(**changes):
    port, full = Port(), []
    audit = Audit(AuditTraits(**changes), port, on_full=lambda t, is_full: full.append(is_full))
    return audit, port, full


def stored(audit):
    return [(entry.kind, entry.name, entry.content) for entry in audit.store.entries]


def test_the_live_channel_is_unchanged_and_each_word_is_stored_once():
    audit, port, _ = made()
    value = {"alarm": "lost", "on": True, "priority": "high"}
    audit.port.log(1, "link-state", {"link": "primary", "up": True})
    audit.port.contact(2, "motion", 1)
    audit.port.contact(3, "rearm", {"request": "rearm"})
    audit.port.signal(4, "alarm-signal", value)
    audit.port.signal(5, "display", {"delay_s": 0.1})
    audit.port.log(6, "attack-replay", {})
    assert [each[:3] for each in port.seen] == [
        ("log", 1, "link-state"), ("contact", 2, "motion"), ("contact", 3, "rearm"),
        ("signal", 4, "alarm-signal"), ("signal", 5, "display"), ("log", 6, "attack-replay"),
    ]  # fmt: skip
    assert stored(audit) == [
        ("connection", "link-state", {"link": "primary", "up": True}),
        ("command", "rearm", {"request": "rearm"}),
        ("alarm", "alarm-signal", value),
        ("attack", "attack-replay", {}),
    ]


def test_a_stream_of_commands_is_one_entry_a_second():
    audit, port, _ = made()
    for k in range(2500):
        t_ns = k * 1_000_000
        port.run_to(t_ns)
        audit.port.actuate(t_ns, Message(1, 7 + k, t_ns))
    port.run_to(ns(10.0))
    found = [content for _, name, content in stored(audit) if name == "commands-executed"]
    assert len(found) == 3
    assert sum(each["count"] for each in found) == 2500
    assert (found[0]["first"], found[-1]["last"]) == (7, 2506)
    assert all(each["last"] - each["first"] + 1 == each["count"] for each in found)


def test_the_clock_has_its_offset_and_drift_and_stamps_the_entries():
    audit, port, _ = made(clock_offset_s=-0.5, clock_drift=1e-3)
    audit.operate(ns(10.0), "read-clock")
    audit.operate(ns(20.0), "sign-in:surgeon")
    assert port.last("clock") == {"clock_ns": ns(9.51)}
    assert audit.store.entries[0].clock_ns == ns(19.52)
    assert len(audit.store) == 1


def test_a_procedure_ends_with_a_summary_of_the_connection_since_it_began():
    audit, port, _ = made(clock_offset_s=0.0, clock_drift=0.0)
    switch = {"from": "primary", "to": "standby", "reason": "active link lost"}
    audit.port.log(1, "link-switch", switch)
    audit.operate(2, "procedure-start:P-1")
    audit.port.log(3, "link-switch", switch)
    audit.port.log(4, "connection", {"up": False})
    audit.port.log(5, "connection", {"up": True})
    for on in (True, False):
        value = {"alarm": "network-loss", "on": on, "value": 0.1}
        audit.port.log(6, "alarm-condition", value)
    audit.operate(7, "procedure-end:P-1")
    assert port.last("connection-summary") == {
        "since_ns": 2, "switches": 1, "interruptions": 1, "delays": 0, "losses": 1, "silences": 0,
    }  # fmt: skip


def test_a_full_medium_is_shown_and_what_is_there_stays():
    audit, port, full = made()
    audit.operate(1, "sign-in:nurse")
    audit.operate(2, "disk-full")
    assert full == []
    audit.operate(3, "sign-out:nurse")
    audit.operate(4, "sign-in:other")
    assert full == [True]
    audit.operate(5, "export-log")
    export = port.last("audit-export")
    assert [entry["name"] for entry in export["entries"]] == ["operator", "log-full"]
    assert (export["full"], export["refused"], export["check"]) == (True, 2, "")
    audit.operate(6, "disk-free")
    assert full == [True, False]
    assert stored(audit)[-1][1:] == ("log-resumed", {"refused": 2})


def test_after_a_power_cut_the_log_says_that_it_began_again():
    audit, port, _ = made(sync_after_s=1.0)
    audit.operate(0, "sign-in:nurse")
    port.run_to(ns(1.0))
    audit.operate(ns(1.5), "sign-out:nurse")
    audit.operate(ns(1.6), "power-cut")
    assert [name for _, name, _ in stored(audit)] == ["operator", "power-on"]
    assert stored(audit)[1][2] == {"entries": 1}


def test_a_medium_that_outlives_the_power_gives_the_next_log_what_was_safe():
    audit, port, _ = made(sync_after_s=1.0)
    audit.start(0)
    assert stored(audit) == []  # the first power-up has nothing to tell
    audit.operate(0, "sign-in:nurse")
    port.run_to(ns(1.0))
    audit.operate(ns(1.5), "sign-out:nurse")  # and the power goes before it is safe
    port = Port()
    again = Audit(audit.traits, port, on_full=lambda *_: None, store=audit.store)
    again.start(ns(2.0))
    found = [(name, content) for _, name, content in stored(again)]
    assert found[0] == ("operator", {"action": "sign-in", "name": "nurse"})
    assert found[1:] == [("power-on", {"entries": 1})]
    again.operate(ns(2.1), "export-log")
    assert port.last("audit-export")["check"] == ""


def test_alarms_of_the_patient_are_left_out_where_only_technical_ones_are_stored():
    audit, _, _ = made(clinical=False)
    for name in ("asystole", "link-lost", "log-full"):
        audit.port.signal(1, "alarm-signal", {"alarm": name, "priority": "high", "on": True})
    assert [content["alarm"] for _, _, content in stored(audit)] == ["link-lost", "log-full"]


def test_actions_that_are_none_of_the_logs_do_nothing():
    audit, port, _ = made()
    audit.operate(1, "local-stop")
    audit.operate(1, "takeover:now")
    assert port.seen == []
    assert stored(audit) == []
