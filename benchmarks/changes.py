"""What one change of a qdisc costs: ready-made netlink message, pyroute2, tc, tcconfig.

``python -m benchmarks.changes [--times 200] [--json]``: in a network namespace of its own, the
same change (the rate of a tbf qdisc, which every kernel has) by each way in turn, interleaved, so
that the ratios hold on a busy host. Figures are medians and 99th percentiles of wall time in s.
tcconfig sets netem: where it or netem is missing, it is named as not run. ``--uml`` does it all in
User-Mode Linux, whose kernel has netem (Debian's packages user-mode-linux and kmod).
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable

from pyroute2 import IPRoute
from pyroute2.netlink.rtnl import TC_H_ROOT

from bench.benches.local.kernel import enter_own_namespaces
from benchmarks.uml import ROOT, in_uml

RATES_BPS = (8_000_000, 16_000_000)
_LIMIT_BYTES, _BURST_BYTES = 30_000, 1600
_NEWQDISC, _REQUEST_ACK_REPLACE = 36, 0x1 | 0x4 | 0x100 | 0x400
_HANDLE = 0x10000
_PARMS, _BURST = 1, 6

Found = dict[str, dict[str, float | str | None]]

_GUEST = """
import json, os, sys

os.environ["PATH"] = {path!r}
sys.path.insert(0, {root!r})
from benchmarks.changes import compare
from benchmarks.uml import insert

insert("net/sched/sch_netem", "net/sched/sch_tbf", "drivers/net/veth")
print("NETEM-RESULT " + json.dumps(compare({times})), flush=True)
"""


def _attribute(kind: int, payload: bytes) -> bytes:
    length = 4 + len(payload)
    return struct.pack("=HH", length, kind) + payload + bytes(-length % 4)


def _message(index: int, rate_bps: int) -> bytes:
    """RTM_NEWQDISC for tbf (linux/pkt_sched.h: struct tc_tbf_qopt)."""
    speed = struct.pack("=BBHhHI", 0, 1, 0, 0, 0, rate_bps // 8)
    options = _attribute(_PARMS, speed + bytes(12) + struct.pack("=III", _LIMIT_BYTES, 0, 0))
    options += _attribute(_BURST, struct.pack("=I", _BURST_BYTES))
    body = struct.pack("=BxxxiIII", 0, index, _HANDLE, TC_H_ROOT, 0)
    body += _attribute(1, b"tbf\0") + _attribute(2, options)
    return struct.pack("=IHHII", 16 + len(body), _NEWQDISC, _REQUEST_ACK_REPLACE, 1, 0) + body


def _ready_made(index: int) -> Callable[[int], None]:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    messages = [_message(index, rate_bps) for rate_bps in RATES_BPS]

    def change(number: int) -> None:
        sock.send(messages[number % 2])
        error = struct.unpack_from("=i", sock.recv(1 << 16), 16)[0]
        if error:
            raise OSError(-error, "the kernel refused the change")

    return change


def _through(route: IPRoute, index: int, number: int) -> None:
    rate = RATES_BPS[number % 2] // 8
    route.tc("replace", "tbf", index, _HANDLE, rate=rate, burst=_BURST_BYTES, limit=_LIMIT_BYTES)


def _pyroute2(index: int) -> Callable[[int], None]:
    route = IPRoute()
    return lambda number: _through(route, index, number)


def _pyroute2_opened(index: int) -> Callable[[int], None]:
    def change(number: int) -> None:
        with IPRoute() as route:
            _through(route, index, number)

    return change


def _program(ifname: str) -> Callable[[int], None]:
    tc = shutil.which("tc") or "/usr/sbin/tc"

    def change(number: int) -> None:
        words = f"qdisc replace dev {ifname} root handle 1: tbf rate {RATES_BPS[number % 2]}bit"
        words += f" burst {_BURST_BYTES} limit {_LIMIT_BYTES}"
        subprocess.run([tc, *words.split()], check=True)

    return change


def _tcconfig(ifname: str) -> Callable[[int], None]:
    def change(number: int) -> None:
        words = [ifname, "--overwrite", "--delay", f"{10 + number % 2}ms"]
        subprocess.run(["tcset", *words], check=True, capture_output=True)

    return change


def compare(times: int) -> Found:
    """Median and p99 in s of every way, interleaved; ``why`` where one was not run."""
    with IPRoute() as route:
        route.link("add", ifname="change0", kind="veth", peer="change1")
        index = route.link_lookup(ifname="change0")[0]
        route.link("set", index=index, state="up")
    ways = {
        "ready-made netlink message": _ready_made(index),
        "pyroute2, socket kept open": _pyroute2(index),
        "pyroute2, opened each time": _pyroute2_opened(index),
        "tc program": _program("change0"),
        "tcconfig (tcset)": _tcconfig("change1"),
    }
    spent: dict[str, list[float]] = {name: [] for name in ways}
    why: dict[str, str] = {}
    for number in range(times):
        for name, change in ways.items():
            if name in why or (name.startswith("t") and number >= times // 4):
                continue
            start = time.perf_counter()
            try:
                change(number)
            except (OSError, subprocess.CalledProcessError) as error:
                why[name] = f"not run: {error}"
                continue
            spent[name].append(time.perf_counter() - start)
    found: Found = {}
    for name, values in spent.items():
        ordered = sorted(values)
        known = bool(ordered) and name not in why
        found[name] = {
            "p50_s": ordered[len(ordered) // 2] if known else None,
            "p99_s": ordered[int(0.99 * len(ordered))] if known else None,
            "n": len(ordered),
            "why": why.get(name, ""),
        }
    return found


def compare_in_uml(times: int) -> Found:
    """The same in User-Mode Linux.

    Raises:
        SystemExit: it does not boot here, or gives no result; says why.
    """
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return dict(in_uml(_GUEST.format(path=path, root=str(ROOT), times=times)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--uml", action="store_true", help="in User-Mode Linux, for netem")
    arguments = parser.parse_args()
    if arguments.uml:
        found = compare_in_uml(arguments.times)
    else:
        enter_own_namespaces()
        found = compare(arguments.times)
    if arguments.json:
        print(json.dumps(found))
        return
    print(f"cost of one change, {datetime.date.today()}, {arguments.times} rounds")
    for name, row in found.items():
        if row["p50_s"] is None:
            print(f"  {name:28} {row['why']}")
        else:
            p50, p99 = (float(row[key] or 0) * 1e6 for key in ("p50_s", "p99_s"))
            print(f"  {name:28} p50 {p50:9.1f} µs   p99 {p99:9.1f} µs   n {row['n']}")


if __name__ == "__main__":
    sys.exit(main())
