"""The security layer: laws of its window and its certificates, and what no attack gets past it."""

import dataclasses
import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.devices.association import TRANSITIONS, Association, Cue, Stage, tag_of, visible
from bench.devices.certificates import (
    CHECKS,
    agree,
    certificate_of,
    objection,
    public,
    sign,
    signed,
)
from bench.devices.clients import DeviceSecurity
from bench.devices.ports import Message
from bench.devices.registry import build, find_device
from bench.devices.replay import SIZE, ReplayWindow
from bench.devices.security import (
    REVOKED,
    ConsoleSecurity,
    SecurityTraits,
    credential,
    hello,
    maker,
    subject,
    trust_of,
)
from bench.devices.wire import decode, encode

ROBOT = find_device("telesurgery-robot")
COMMAND = ROBOT.stream("haptic-command").code
SECRETS = st.integers(1, 2**59)
LAW = settings(derandomize=True, deadline=None, max_examples=60)


# ---- the replay window --------------------------------------------------------------------------


@LAW
@given(st.lists(st.integers(-3, 300), max_size=200), st.integers(1, 70))
def test_a_number_is_taken_once_and_only_inside_the_window(numbers, size):
    window, taken = ReplayWindow(size), set()
    for number in numbers:
        highest = max(taken, default=-1)
        wanted = number >= 0 and number not in taken and number > highest - size
        assert window.take(number) is wanted
        taken |= {number} if wanted else set()
        assert window.next == 1 + max(taken, default=-1)


@LAW
@given(st.permutations(range(SIZE)))
def test_any_order_within_the_window_loses_nothing(order):
    window = ReplayWindow()
    assert all(window.take(number) for number in order)
    assert not any(window.take(number) for number in order)


# ---- certificates and keys ----------------------------------------------------------------------


@LAW
@given(SECRETS, SECRETS)
def test_both_agree_on_the_key(one, other):
    assert agree(one, public(other)) == agree(other, public(one))


@LAW
@given(SECRETS, SECRETS, st.text(max_size=5), st.text(max_size=5))
def test_a_signature_holds_for_its_content_and_its_key(secret, other, said, changed):
    signature = sign(secret, said, 1)
    assert signed(public(secret), signature, said, 1)
    assert signed(public(secret), signature, changed, 1) is (changed == said)
    if public(other) != public(secret):
        assert not signed(public(other), signature, said, 1)


@pytest.mark.parametrize("junk", [None, [], [1], ["a", "b"], [1, "b"], 5, [1.5, 2]])
def test_junk_is_no_signature(junk):
    assert not signed(public(5), junk, "x")


ISSUED = {
    "": credential(ROBOT, "observer-1", 5),
    "issuer": dataclasses.replace(maker(ROBOT), secret=99).issue(subject(ROBOT, "console"), 5),
    "validity": maker(ROBOT).issue(subject(ROBOT, "console"), 5, until_s=-1.0),
    "revocation": maker(ROBOT).issue(subject(ROBOT, "console"), REVOKED),
    "whitelist": maker(ROBOT).issue(subject(ROBOT, "visitor"), 5),
}


def test_each_check_of_a_certificate_has_a_case():
    assert set(ISSUED) == {"", *CHECKS}


@pytest.mark.parametrize("reason", ISSUED)
def test_a_certificate_is_refused_for_its_reason(reason):
    certificate = ISSUED[reason].certificate
    again = certificate_of(json.loads(json.dumps(certificate.plain())))
    assert again == certificate
    assert objection(certificate, trust_of(ROBOT), 1.0) == reason
    assert objection(certificate, trust_of(ROBOT), 1.0, frozenset({reason})) == ""


@pytest.mark.parametrize(
    ("field", "value"), [("subject", "x"), ("until_s", 9e9), ("serial", 4), ("key", public(7))]
)
def test_an_altered_certificate_is_not_the_issuers(field, value):
    altered = dataclasses.replace(ISSUED[""].certificate, **{field: value})
    assert objection(altered, trust_of(ROBOT), 1.0) == "issuer"


# ---- the association ----------------------------------------------------------------------------


def test_only_an_answer_that_was_asked_for_establishes():
    into = {pair for pair, to in TRANSITIONS.items() if to is Stage.ESTABLISHED}
    assert into == {
        (Stage.OFFERED, Cue.WELCOME), (Stage.ANSWERED, Cue.RECORD), (Stage.ESTABLISHED, Cue.RECORD)
    }  # fmt: skip
    for stage, cue in itertools.product(Stage, Cue):
        peer = Association(0)
        peer.stage = stage
        assert peer.step(cue) is ((stage, cue) in TRANSITIONS)
        assert peer.stage is TRANSITIONS.get((stage, cue), stage)


@LAW
@given(st.integers(1, 2**60), st.integers(0, 2**32 - 1), st.integers(-1000, 1000), st.booleans())
def test_a_tag_covers_everything_and_survives_the_wire(key, number, value, with_body):
    body = {"state": "ENABLED", "heard": [1, 0]} if with_body else None
    message = Message(1, number, 5, value, body)
    message = message._replace(tag=tag_of(key, number, message))
    assert not visible(message)
    again = decode(encode(message, 120))
    assert again == message
    assert tag_of(key, number, again) == message.tag
    for change in ({"stream": 2}, {"sent_ns": 6}, {"value": value ^ 1}, {"body": {"x": 1}}):
        assert tag_of(key, number, message._replace(**change)) != message.tag
    assert tag_of(key, number + 1, message) != message.tag
    assert tag_of(key + 1, number, message) != message.tag


class Side:
    """A port and a state machine that keep what passes them."""

    alarms = None

    def __init__(self):
        self.sent, self.got, self.entries, self.timers = [], [], [], []

    def at(self, t_ns, call):
        self.timers.append((t_ns, call))

    def send(self, now_ns, link, message):
        self.sent.append((link, message))

    def log(self, now_ns, name, value):
        self.entries.append((name, value))

    def receive(self, now_ns, link, message):
        self.got.append((link, message[:5]))

    def operate(self, now_ns, action):
        self.got.append(action)

    def signal(self, now_ns, name, value):
        self.entries.append((name, value))

    actuate = contact = send_burst = signal

    def run_timers(self):
        due, self.timers = self.timers, []
        for t_ns, call in due:
            call(t_ns)


def pair(**traits):
    """Both sides after the handshake on both links."""
    console, device = Side(), Side()
    layers = []
    for kind, name, side in (
        (ConsoleSecurity, "doctor", console),
        (DeviceSecurity, "patient", device),
    ):
        layer = kind(ROBOT, name, SecurityTraits(**traits), side)
        layer.attach(side)
        layers.append(layer)
    client, server = layers
    for now, (one, other) in enumerate([(client, server), (server, client)] * 2, 1):
        for link in (0, 1):
            one.send(now, link, Message(0, now, now, 0, {"heard": [0, 0]}))
            for to, message in one.port.sent:
                other.receive(now, to, message)
            one.port.sent.clear()
    console.got.clear()
    device.got.clear()
    return client, server, console, device


def test_the_handshake_opens_both_links_once():
    client, server, _, device = pair()
    for layer in (client, server):
        assert [peer.stage for peer in layer.operators] == [Stage.ESTABLISHED] * 2
    keys = {peer.send_key for layer in (client, server) for peer in layer.operators}
    assert len(keys) == 4, "every link and direction has a key of its own"
    assert [name for name, _ in device.entries] == ["session"] * 2


def test_nothing_leaves_before_the_association_stands():
    side = Side()
    client = ConsoleSecurity(ROBOT, "doctor", SecurityTraits(), side)
    client.attach(side)
    client.send(1, 0, Message(COMMAND, 0, 1, 5))
    assert side.sent == []
    client.send(1, 0, Message(0, 0, 1, 0, {"heard": [0, 0]}))
    assert set(side.sent[0][1].body) == {"hello"}


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(
            ("send", "flip", "copy", "hold", "other-link", "inject", "body", "reflect", "retag")
        ),
        st.integers(0, 200),
        st.integers(-(2**31), 2**31 - 1),
    ),
    min_size=1,
    max_size=60,
)


@LAW
@given(OPERATIONS)
def test_no_sequence_of_attacks_gets_anything_altered_accepted(operations):
    """What arrives at the state machine was sent so, on that link, and arrives once."""
    client, server, console, device = pair()
    sent, wire, held, now = [], [], [], 100
    for seq, (what, pick, value) in enumerate(operations):
        now += 1
        client.send(now, pick % 2, Message(COMMAND, seq, now, value % 1000))
        link, message = console.sent[-1]
        sent.append((link, message[:5]))
        wire.append((link, message))
        old_link, old = wire[pick % len(wire)]
        if what == "flip":
            server.receive(now, link, message._replace(value=message.value ^ (1 << pick % 31)))
        elif what == "hold":
            held.append((link, message))
            continue
        elif what == "copy":
            server.receive(now, old_link, old)
        elif what == "other-link":
            server.receive(now, 1 - old_link, old)
        elif what == "inject":
            server.receive(now, link, Message(COMMAND, seq + 1, now, value, None, value))
        elif what == "body":
            server.receive(now, link, Message(0, seq, now, 0, {"request": [seq, "rearm"]}, value))
        elif what == "reflect":
            client.receive(now, old_link, old)
        elif what == "retag":
            server.receive(now, link, message._replace(seq=seq + 1, tag=old.tag))
        server.receive(now, link, message)
    for link, message in held:
        server.receive(now, link, message)
    assert console.got == []
    assert len(set(device.got)) == len(device.got), "nothing twice"
    assert set(device.got) <= set(sent)
    lost = len(sent) - len(device.got)
    assert lost <= sum(what == "hold" for what, _, _ in operations), "and nothing good is refused"


@LAW
@given(SECRETS, st.sampled_from([*ISSUED, "none", "again"]), st.integers(0, 1))
def test_no_stranger_takes_the_operators_place(secret, who, link):
    client, server, _, device = pair()
    before = [(peer.send_key, peer.subject) for peer in server.operators]
    own = ISSUED.get(who)
    body = hello(own, secret, 10**9, link) if own else {"hello": {"nonce": 10**9, "share": 5}}
    if who == "again":
        body = client.operators[1 - link].handshake
    for address in (0, 7):
        server.receive(10**9, link, Message(0, 9, 10**9, 0, body, 0, address))
    assert [(peer.send_key, peer.subject) for peer in server.operators] == before
    answers = [m.body for _, m in device.sent if m.peer == 7]
    assert len(answers) == (0 if who == "" else 1)
    assert all("refused" in answer for answer in answers)
    server.send(10**9 + 1, link, Message(0, 50, 10**9 + 1, 0, {"heard": [1, 1]}))
    welcomed = any("welcome" in (m.body or {}) for _, m in device.sent if m.peer == 7)
    assert welcomed is (who == ""), "a lawful observer is let in beside the operator"
    device.run_timers()
    assert any(name == "refused" for name, _ in device.entries), "the operator's place was refused"


def test_a_flood_does_not_fill_the_log():
    _, server, _, device = pair()
    for number in range(5000):
        server.receive(100, 0, Message(COMMAND, number, 100, 1, None, 77, number))
    device.run_timers()
    entries = [value for name, value in device.entries if name == "refused"]
    assert len(entries) <= 65
    assert sum(value["count"] for value in entries) == 5000


# ---- the short way out --------------------------------------------------------------------------


class QuietPort:
    """A port on which nothing happens."""

    def at(self, t_ns, call):
        pass

    def send(self, now_ns, link, message):
        pass

    def send_burst(self, now_ns, link, message, count):
        pass

    def contact(self, now_ns, name, value):
        pass

    actuate = signal = log = follow = contact


class IntactPort(QuietPort):
    intact = True


def test_the_state_machine_calls_an_intact_port_itself_while_nothing_is_left_to_do():
    port = IntactPort()
    layer = build(ROBOT, "patient", port)
    assert layer.inner.port.send == layer.send
    for operator in layer.operators:
        operator.stage = Stage.ESTABLISHED
    layer._plainly()
    assert layer.inner.port.send == port.send
    layer.operate(0, "crypto:off")
    assert layer.inner.port.send == layer.send
    layer.operate(0, "crypto:on")
    assert layer.inner.port.send == port.send


def test_where_packets_can_be_altered_all_leave_by_the_layer():
    layer = build(ROBOT, "patient", QuietPort())
    for operator in layer.operators:
        operator.stage = Stage.ESTABLISHED
    layer._plainly()
    assert layer.inner.port.send == layer.send
