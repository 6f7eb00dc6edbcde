"""When packets of a link direction went to an address that was no longer in use."""

from __future__ import annotations

from bench.network.addresses import READDRESSED, moved_link
from bench.network.impairment import Direction
from bench.sessions.recording import Recording


def old_address_spans(
    recording: Recording, link: str, direction: Direction
) -> list[tuple[int, int]]:
    """From each change of the receiver's address until the sender's packets go to the new one, ns.

    To the end of the recording where they never do.
    """
    receiver, sender = ("patient", "doctor") if direction == "to-patient" else ("doctor", "patient")
    learned = [
        event.t_ns
        for event in recording.named(READDRESSED, side=sender)
        if event.origin == "bench" and event.value["link"] == link
    ]
    end_ns = recording.schedule.end_ns
    return [
        (action.t_ns, min((t for t in learned if t >= action.t_ns), default=end_ns))
        for action in recording.schedule.actions
        if action.side == receiver and moved_link(action.name) == link
    ]
