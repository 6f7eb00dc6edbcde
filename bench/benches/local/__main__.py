"""``python -m bench.benches.local FD PID``: the host process of a :class:`LocalBench`.

``FD`` is its control socket, ``PID`` the main process; with the physical interfaces
of each link behind these (``eth1,eth2``) it stays in the present network namespace. Not for people.
"""

from __future__ import annotations

import socket
import sys

from bench.benches.local import kernel
from bench.benches.local.channel import Sender


def main() -> None:
    """Enter the namespaces, then serve."""
    control = socket.socket(fileno=int(sys.argv[1]))
    # The namespaces must be entered before numpy or pyroute2 may start a thread.
    nics = [tuple(names.split(",")) for names in sys.argv[3:]]
    try:
        privilege = "root" if nics else kernel.enter_own_namespaces()
    except OSError as error:
        sender = Sender(control)
        sender.send({"refused": str(error)})
        sender.drain(1.0)
        sys.exit(1)
    kernel.die_with_parent(int(sys.argv[2]))
    from bench.benches.local.host import serve

    serve(control, privilege, nics)


if __name__ == "__main__":
    main()
