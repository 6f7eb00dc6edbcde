"""A stand-in for ``labgrid-client``: what tests call in its place.

Its answers and exit codes are those that labgrid's own client gave with labgrid's own coordinator
(v26.0-68-gebe35351, 2026-11-30). ``STAND_IN`` names a JSON file: ``places`` (name to holder),
``user``, ``calls``, and ``slow_s`` by command.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

ME = "labgrid-client"


def main() -> None:
    words = sys.argv[1:]
    place = words.pop(words.index("-p") + 1) if "-p" in words else ""
    coordinator = words.pop(words.index("-x") + 1) if "-x" in words else ""
    command, *rest = [word for word in words if word not in ("-p", "-x")]
    file = Path(os.environ["STAND_IN"])
    state = json.loads(file.read_text())
    state["calls"].append([command, place or " ".join(rest)])
    put(file, state)
    time.sleep(state.get("slow_s", {}).get(command, 0))
    if coordinator.endswith(":29999"):
        print("Server error: Error: Could not connect to coordinator", file=sys.stderr)
        sys.exit(1)
    answers = {"acquire": acquire, "release": release}
    if command in answers:
        found = [name for name in state["places"] if place == name] or [
            name for name in state["places"] if place in name
        ]
        if not found:
            fail(f"place pattern {place} matches nothing")
        answers[command](state, found[0])
        put(file, state)
    elif command == "reserve":
        print("export LG_TOKEN=77BJUO4U84")
    elif command == "wait":
        name = next(iter(state["places"]))
        while json.loads(file.read_text())["places"][name]:
            print("owner: vm/root\ntoken: 77BJUO4U84\nstate: waiting", flush=True)
            time.sleep(0.05)


def put(file: Path, state) -> None:
    """Others read it meanwhile."""
    temporary = file.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(state))
    os.replace(temporary, file)


def acquire(state, place) -> None:
    holder, me = state["places"][place], f"vm/{state['user']}"
    if holder == me:
        fail(f"You have already acquired place {place}.")
    if holder:
        allow = f"'labgrid-client -p {place} allow {me}' on vm"
        other = holder.partition("/")[2]
        fail(
            f"Place {place} is already acquired by {holder}. "
            f"To work simultaneously, {other} can execute {allow}."
        )
    state["places"][place] = me
    print(f"acquired place {place}")


def release(state, place) -> None:
    holder = state["places"][place]
    if not holder:
        fail(f"place {place} is not acquired")
    if holder != f"vm/{state['user']}":
        fail(
            f"place {place} is acquired by a different user ({holder}), use --kick if you are sure"
        )
    state["places"][place] = ""
    print(f"released place {place}")


def fail(text: str) -> None:
    print(f"{ME}: Error: {text}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
