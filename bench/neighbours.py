"""Are ``instruments`` and ``fixtures`` ours? PyPI has packages of the same names."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from bench.errors import InputError

OURS = ("fixtures", "instruments")


def check_neighbours() -> None:
    """Refuse an environment in which another package took a name of ours.

    Raises:
        InputError: names the package and where it lies.
    """
    home = Path(__file__).resolve().parents[1]
    for name in OURS:
        spec = find_spec(name)
        places = list(spec.submodule_search_locations or ()) if spec is not None else []
        if [Path(place).resolve() for place in places] != [home / name]:
            raise InputError(
                f"the package {name!r} that Python finds is not this project's",
                remedy=f"uninstall the PyPI package {name}, or use the environment of ./run setup",
                value=places[0] if places else None,
            )
