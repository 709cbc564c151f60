"""Rights on a site: what is needed, what a token has, what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Groups = Sequence[Sequence[str]]
"""Permission strings of a token, one group a role, as the exchange lists them."""

COLLECTIONS = ("entries", "treatments", "devicestatus", "profile")
ROLE = (
    "api:entries:create,read,delete",
    "api:treatments:create,read,update,delete",
    "api:devicestatus:create,read,update",
    "api:profile:create,read,update",
)
"""The least a bridge needs for everything. Reading: sites that show nothing to strangers ask it of every writer."""
_VERBS = {one.split(":")[1]: tuple(one.split(":")[2].split(",")) for one in ROLE}


def implies(granted: str, wanted: str) -> bool:
    """Whether one granted string covers one wanted permission (`api:entries:create`)."""
    have = [set(part.split(",")) for part in granted.split(":")]
    want = wanted.split(":")
    covered = all("*" in options or part in options for options, part in zip(have, want, strict=False))
    return covered and all("*" in options for options in have[len(want) :])


def allows(groups: Groups, wanted: str) -> bool:
    """Whether any group covers it."""
    return any(implies(granted, wanted) for group in groups for granted in group)


def needed(collections: Iterable[str]) -> list[str]:
    """Every single permission that these collections need."""
    return [f"api:{name}:{verb}" for name in collections for verb in _VERBS[name]]


def missing(groups: Groups, collections: Iterable[str]) -> list[str]:
    """What is needed and not there."""
    return [wanted for wanted in needed(collections) if not allows(groups, wanted)]


def listed(permissions: Iterable[str]) -> str:
    """`api:entries:create,read, api:profile:read`: as a person enters them in a role."""
    verbs: dict[str, list[str]] = {}
    for permission in permissions:
        start, _, verb = permission.rpartition(":")
        verbs.setdefault(start, []).append(verb)
    return ", ".join(f"{start}:{','.join(found)}" for start, found in verbs.items())
