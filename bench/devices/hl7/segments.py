r"""The text of HL7 v2: segments, fields and components, with escapes; times.

Only the delimiters that the standard recommends are spoken: ``|^~\&`` (HL7 v2.6, 2.5.4).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

HEAD = "MSH|^~\\&|"
_ESCAPES = {
    "\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\",
    "\r": "\\X0D\\", "\n": "\\X0A\\", "\x0b": "\\X0B\\", "\x1c": "\\X1C\\",
}  # fmt: skip
_MEANINGS = {escape[1:-1]: plain for plain, escape in _ESCAPES.items()}
_ESCAPED = str.maketrans(_ESCAPES)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TENTH_MS = 100_000


def escape(text: str) -> str:
    """Plain text as it stands in a field (HL7 v2.6, 2.7)."""
    return text.translate(_ESCAPED)


def unescape(text: str) -> str:
    """The plain text of a field.

    Raises:
        ValueError: an escape that is none.
    """
    if "\\" not in text:
        return text
    parts = text.split("\\")
    if len(parts) % 2 == 0:
        raise ValueError("HL7: an escape sequence has no end")
    for place in range(1, len(parts), 2):
        try:
            parts[place] = _MEANINGS[parts[place]]
        except KeyError:
            raise ValueError(f"HL7: unknown escape sequence \\{parts[place]}\\") from None
    return "".join(parts)


def time_text(t_ns: int) -> str:
    """A time as DTM: four decimal places of a second, UTC.

    Raises:
        ValueError: beyond the year 9999.
    """
    tenths = t_ns // _TENTH_MS
    try:
        moment = _EPOCH + timedelta(seconds=tenths // 10_000)
    except OverflowError:
        raise ValueError(f"HL7: no such time: {t_ns} ns") from None
    return f"{moment:%Y%m%d%H%M%S}.{tenths % 10_000:04d}+0000"


def message_text(*segments: list[str]) -> bytes:
    """A message from its segments, each a list of fields that begins with its name."""
    return ("\r".join("|".join(fields).rstrip("|") for fields in segments) + "\r").encode()


def read(payload: bytes) -> list[list[str]]:
    """The segments of a message, each a list of fields; ``MSH`` numbered like the others.

    Field ``n`` of a segment is at index ``n``; of ``MSH`` the first two are its delimiters.

    Raises:
        ValueError: this is no HL7 v2 message.
    """
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        raise ValueError("HL7: not UTF-8") from None
    if not text.startswith(HEAD):
        raise ValueError(f"HL7: a message begins with {HEAD}")
    segments = [line.split("|") for line in text.split("\r") if line]
    segments[0].insert(1, "|")
    return segments


def field(segment: list[str], number: int) -> str:
    """One field as it stands; empty where the segment has none of that number."""
    return segment[number] if number < len(segment) else ""


def components(text: str) -> list[str]:
    """The components of a field, in plain text."""
    return [unescape(part) for part in text.split("^")]
