"""What all emitters share: they are on with a permit only, and it holds until they are seen off."""

from __future__ import annotations

from instruments.rf.levels import Permit
from instruments.visa.properties import Instrument


class Emitter(Instrument):
    """A generator, or the cell of a tester."""

    _permit: Permit | None = None

    @property
    def permitted(self) -> Permit | None:
        """With what it is on, or may be: None once it was seen to be off."""
        return self._permit
