"""``python -m instruments.attacks FD PID``: the attack process. Not for people.

``FD`` is its end of the message socket, ``PID`` the process that started it and with which the
kernel ends it. It acts in the network namespace that it was started in.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import socket
import sys

from instruments.attacks.beside import Beside
from instruments.attacks.hop import Hop
from instruments.attacks.messages import LARGEST, stations_of, unpacked
from instruments.attacks.process import AttackProcess
from instruments.emulators import timing

_PR_SET_PDEATHSIG = 1
_PRIORITY = 2


def main() -> None:
    """Stand where the first message says until the last one."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(sys.argv[2]):
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    bench = socket.socket(fileno=int(sys.argv[1]))
    said, _ = unpacked(bench.recv(LARGEST))
    process: AttackProcess
    if said["do"] == "beside":
        process = Beside(said["links"], said["seed"], bench)
    else:
        process = Hop(stations_of(said), said["lengths"], bench)
    timing.set_timer_slack()
    timing.prefer_timing(_PRIORITY)
    gc.collect()
    gc.freeze()
    process.run()


if __name__ == "__main__":
    main()
