"""Changes of address: the action ``address-change:LINK`` of a scenario.

From that moment on the side whose action it is has another address on that link, as after another
lease of DHCP, a new binding of a NAT, or roaming. What the other side still sends to the old
address is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.errors import InputError
from bench.network.schedule import ScheduledAction

ADDRESS_CHANGE = "address-change"

READDRESSED = "readdressed"
"""The bench's event, of the other side: from now its packets on ``link`` go to the new address."""


def moved_link(action: str) -> str | None:
    """The link on which an action changes the address; None: it is another action."""
    name, _, link = action.partition(":")
    return link if name == ADDRESS_CHANGE else None


def address_changes(
    actions: Iterable[ScheduledAction], links: Sequence[str]
) -> tuple[tuple[ScheduledAction, str], ...]:
    """The changes of address among the actions, each with its link.

    Raises:
        InputError: a link that the scenario does not have.
    """
    found = []
    for action in actions:
        link = moved_link(action.name)
        if link is None:
            continue
        if link not in links:
            raise InputError(
                "changes its address on a link that the scenario does not have",
                remedy=f"write {ADDRESS_CHANGE}: and one of {', '.join(links)}",
                field="actions.name",
                value=action.name,
            )
        found.append((action, link))
    return tuple(found)


def refuse_address_changes(actions: Iterable[ScheduledAction], links: Sequence[str]) -> None:
    """Refuse them where addresses are fixed: nothing would happen, and nobody would know.

    Raises:
        InputError: there are some.
    """
    for action, _ in address_changes(actions, links):
        raise InputError(
            "the addresses of this bench are fixed: nobody carries out a change of address",
            remedy="use --bench virtual",
            field="actions.name",
            value=action.name,
        )
