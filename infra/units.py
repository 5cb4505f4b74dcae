"""Memory sizes, numbers of CPUs and durations, in the forms that people and engines write."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

KIB, MIB, GIB, TIB = 1024, 1024**2, 1024**3, 1024**4

_UNITS = {"KiB": KIB, "MiB": MIB, "GiB": GIB, "TiB": TIB}
# Eighteen digits are more than any size or time has, and few enough for exact arithmetic.
_SIZE = re.compile(r"([0-9]{1,18})(?:\.([0-9]{1,18}))? ?(KiB|MiB|GiB|TiB)")
_DURATION = re.compile(r"([0-9]{1,18})(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_size(value: Any) -> int:
    """Bytes of a size such as `512MiB` or `1.5GiB`. Raises ValueError for anything else."""
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("it is not a size; use a number with KiB, MiB, GiB or TiB, such as 512MiB")
    whole, fraction, unit = match.groups(default="")
    return int(int(whole + fraction) * _UNITS[unit] // 10 ** len(fraction))


def format_size(size: int) -> str:
    """The shortest exact form of a number of bytes: `1GiB`, `1536MiB`."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size and size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit}"
    return f"{size / MIB:.1f}MiB"


def parse_duration(value: Any) -> int:
    """Seconds of a duration such as `30s`, `15m`, `12h` or `30d`. Raises ValueError for anything
    else.
    """
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("it is not a duration; use a whole number with s, m, h or d, such as 15d")
    return int(match[1]) * _SECONDS[match[2]]


def format_duration(seconds: int) -> str:
    """The shortest exact form of a number of seconds: `15d`, `90s`."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds // _SECONDS[unit]}{unit}"
    return f"{seconds}s"


def go_duration(seconds: int) -> str:
    """A duration as Go prints it (`1m0s`).

    The Docker provider reads durations back in this form; any other spelling is a difference
    at every `up`.
    """
    hours, rest = divmod(seconds, 3600)
    minutes, secs = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m{secs}s"
    return f"{minutes}m{secs}s" if minutes else f"{secs}s"


def whole_mebibytes(value: Any) -> int:
    """A size rounded down to MiB, the unit in which Docker's provider takes limits."""
    return parse_size(value) // MIB * MIB


def whole_days(value: Any) -> int:
    """Seconds of a duration that is whole days. Raises ValueError for anything finer."""
    seconds = parse_duration(value)
    if seconds == 0 or seconds % 86400:
        raise ValueError("it must be a whole number of days, such as 30d")
    return seconds


Size = Annotated[
    int, BeforeValidator(whole_mebibytes), PlainSerializer(format_size, return_type=str)
]
"""A setting in bytes, written `512MiB`."""

Duration = Annotated[
    int, BeforeValidator(parse_duration), PlainSerializer(format_duration, return_type=str)
]
"""A setting in seconds, written `15d`."""

Days = Annotated[
    int, BeforeValidator(whole_days), PlainSerializer(format_duration, return_type=str)
]
"""A setting in seconds that is whole days, written `15d`."""
