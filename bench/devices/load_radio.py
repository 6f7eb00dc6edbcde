"""Reading the tables ``[radio]`` and ``[coexistence]`` of a device profile."""

from __future__ import annotations

from bench.devices.profile import Coexistence
from bench.network.radio.exposure import Radio
from bench.network.radio.exposure_files import exposure_from, radio_from
from bench.tables import Table


def radio_of(top: Table, declared: bool) -> tuple[Radio | None, Coexistence | None]:
    """The radio of a profile and what it bears; both, where the device has the function.

    Raises:
        InputError: one without the other or without the function, or a value that cannot be.
    """
    for key in ("radio", "coexistence"):
        if declared and key not in top.data:
            top.fail(key, "is missing", f"add [{key}], or take radio out of the functions")
        if not declared and key in top.data:
            top.fail(key, "belongs to devices with a radio", "add radio to the functions")
    if not declared:
        return None, None
    table = top.table("coexistence").only(("recovery", "environment"))
    environment = tuple(exposure_from(one) for one in table.tables("environment", "signal"))
    if not environment:
        table.fail("environment", "names no signal", "add [[coexistence.environment]]")
    return radio_from(top.table("radio")), Coexistence(table.quantity("recovery", "s"), environment)
