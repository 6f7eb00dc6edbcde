"""``python -m bench.benches.fidelity FD PID``: the host process of a ``FidelityBench``.

``FD`` is its control socket, ``PID`` the main process. Not for people.
"""

from __future__ import annotations

import sys
from multiprocessing.connection import Connection

from bench.benches.local import kernel


def main() -> None:
    """Enter the namespaces, then serve."""
    control = Connection(int(sys.argv[1]))
    # The namespaces must be entered before numpy or pyroute2 may start a thread.
    try:
        privilege = kernel.enter_own_namespaces()
    except OSError as error:
        control.send(("refused", str(error)))
        sys.exit(1)
    kernel.die_with_parent(int(sys.argv[2]))
    from bench.benches.fidelity.host import serve

    serve(control, privilege)


if __name__ == "__main__":
    main()
