"""Variables that begin like ours and are no setting: a mistyped one would be ignored without a word."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

PREFIX = "WORKER_"
NO_SETTINGS = ("WORKER_CONFIG", "WORKER_LANG", "WORKER_IMAGE")
"""Variables of ours that no key of the settings has."""
NEAR = 0.84
"""How alike two names are, of 1, so that one is taken for the other mistyped: but for a letter or an underscore."""
_KUBERNETES = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT|PORT)(_\w+)?")
"""What Kubernetes adds for each Service, also for one whose name begins with `worker`."""


def unknown_variables(
    variables: Mapping[str, str], keys: Mapping[str, Collection[str]], file: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Each such variable, with the right one that is most like it; an empty text where none is.

    `keys`: each key of the settings with the keys below it. The settings' `file` may name any variable as the place of
    a secret, and so may the variables themselves.
    """
    heads = [f"{PREFIX}{key.upper()}" for key in keys]
    inner = [f"{PREFIX}{key}__{below}".upper() for key, all_below in keys.items() for below in all_below]
    places = {*_places(file), *(value for name, value in variables.items() if name.upper().endswith("__ENV"))}
    for name in sorted(variables.keys() - places):
        head, behind, rest = name.upper().partition("__")
        is_ours = head in heads or head in NO_SETTINGS or _KUBERNETES.fullmatch(head)
        if head.startswith(PREFIX) and not is_ours:
            first = _nearest(head, [*heads, *NO_SETTINGS])
            yield name, _nearest(name.upper(), inner) or (first and first + behind + rest)


def _nearest(name: str, right: Collection[str]) -> str:
    """By what stands behind the prefix, which all have."""
    near = difflib.get_close_matches(name.removeprefix(PREFIX), [one.removeprefix(PREFIX) for one in right], 1, NEAR)
    return f"{PREFIX}{near[0]}" if near else ""


def _places(value: Any) -> Iterator[str]:
    """The variables that tables name as places, `{ env = "NAME" }`."""
    if isinstance(value, Mapping):
        if isinstance(named := value.get("env"), str):
            yield named
        for below in value.values():
            yield from _places(below)
    elif isinstance(value, list):
        for below in value:
            yield from _places(below)
