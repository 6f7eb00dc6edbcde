"""What is done in a laboratory, told in its transcript: notes by which a run is carried out again.

``{"does": NAME, "with": [...]}`` when it begins, then ``{"came": ...}`` or ``{"raised": NAME,
"problem": TEXT}``. Only what is asked for from outside is told, not what that takes; but what was
read (``{"reads": ROLE, ...}``), and what the host's clock showed where something follows from it
(``{"clock_ns": ...}``). ``{"tells": [...]}`` at the beginning: of whom this is told.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from bench.sessions.codec import to_json
from bench.units import NS_PER_S

ROLE = "laboratory"
"""Of these notes in the transcript."""

TELLS: Mapping[str, Any] = {"tells": ["contacts", "power"]}
"""A transcript without this note is an older one: what is done with these is not told there."""

P = ParamSpec("P")
T = TypeVar("T")


class Telling(Protocol):
    """Something that tells what it does."""

    telling: bool

    def tell(self, fields: Mapping[str, Any]) -> None:
        """Write a note."""


class Host:
    """Where time passes: the clock and the waits of what is done in a laboratory; tells nobody."""

    def tell(self, fields: Mapping[str, Any]) -> None:
        """Write a note."""

    def now_ns(self) -> int:
        """What the clock shows, CLOCK_MONOTONIC; told, since something follows from it."""
        now_ns = time.monotonic_ns()
        self.tell({"clock_ns": now_ns})
        return now_ns

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def sleep_until(self, t_ns: int) -> None:
        """Wait until the clock shows this; what it shows before is told nobody."""
        self.sleep(max(0.0, (t_ns - time.monotonic_ns()) / NS_PER_S))


S = TypeVar("S", bound=Telling)


def told(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """A method whose calls are told, unless they are part of another that is."""

    @wraps(method)
    def call(this: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if this.telling:
            return method(this, *args, **kwargs)
        assert not kwargs, "only places are told"
        this.telling = True
        this.tell({"does": method.__qualname__, "with": to_json(list(args))})
        try:
            came = method(this, *args, **kwargs)
        except BaseException as error:
            this.tell({"raised": type(error).__name__, "problem": str(error)})
            raise
        finally:
            this.telling = False
        this.tell({"came": to_json(came)})
        return came

    return call


def as_text(fields: Mapping[str, Any]) -> str:
    """A note's text."""
    return json.dumps(fields, sort_keys=True, ensure_ascii=False)
