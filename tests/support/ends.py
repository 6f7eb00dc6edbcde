"""The two interfaces that an emulator joins, with all that the bench may change about them.

Call it inside a network namespace of the test's own: pa–fa and fb–pb are veth pairs; fa and fb
are the ends that are joined. Loaded by path.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from instruments.emulators import rtnetlink, settings

ENDS = ("fa", "fb")


def ip(words):
    subprocess.run(["ip", *words.split()], check=True, capture_output=True)


def pairs(ipv6="1"):
    """pa–fa and fb–pb; fa is up and fb is down."""
    for name in ("all", "default"):
        Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text(ipv6)
    for end, peer in (("pa", "fa"), ("pb", "fb")):
        ip(f"link add name {end} type veth peer name {peer}")
    for name in ("pa", "pb", *ENDS):
        ip(f"link set dev {name} up")
    ip("link set dev fb down")


def state(name):
    """All that the bench may change about an interface."""
    (link,) = (link for link in rtnetlink.links() if link.name == name)
    flags = settings.flags(name) & (settings.UP | settings.NO_ARP | 0x100)
    own = [text for index, text, _ in rtnetlink.addresses() if index == link.index]
    disabled = settings.ipv6_disabled(name)
    shown = subprocess.run(["ip", "-d", "link", "show", name], capture_output=True, text=True)
    promiscuity = shown.stdout.partition("promiscuity ")[2].split()[0]
    qdiscs = rtnetlink.qdiscs(link.index)
    return link, flags, settings.features(name), disabled, qdiscs, own, promiscuity


def states():
    return [state(name) for name in ENDS]


def settled(before, folder, within=10.0):
    """Wait until all is as before and no journal is left; what is still different."""
    deadline = time.monotonic() + within
    while True:
        now, left = states(), [path.name for path in folder.iterdir()]
        if (now == before and not left) or time.monotonic() > deadline:
            pairs_of = zip(sum(now, ()), sum(before, ()), strict=True)
            return [(a, b) for a, b in pairs_of if a != b], left
        time.sleep(0.01)


def changed():
    """What custody does to the two ends."""
    for name in ENDS:
        assert settings.flags(name) & settings.UP
        assert settings.flags(name) & settings.NO_ARP
        assert settings.batching(settings.features(name)) == ()
        assert settings.ipv6_disabled(name) == "1"
        assert state(name)[6] == "1"
    return True


def leave_behind():
    """What a killed netem driver leaves; another qdisc stands for netem."""
    for words in (
        "tc qdisc add dev fa root handle 1: pfifo",
        "tc qdisc add dev fa ingress",
    ):
        subprocess.run(words.split(), check=True, capture_output=True)
    bridge = f"tmb-wire{state('fa')[0].index}"
    ip(f"link add name {bridge} type bridge")
    ip(f"link set dev fb master {bridge}")


def bridges():
    return [link.name for link in rtnetlink.links() if link.kind == "bridge"]
