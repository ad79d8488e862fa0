"""A key in, a signed cookie out, and back: who is looking, and at which projects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from itsdangerous import BadSignature, URLSafeTimedSerializer

from spanledger_collector.store.registry.keys import Key, hash_key

COOKIE = "spanledger_session"
PERSON_COOKIE = "spanledger_person"
PERSON_MAX_AGE_S = 12 * 3600
MAX_AGE_S = 7 * 86400
MAX_KEYS = 10


class Keys(Protocol):
    """The registry's key directory, as far as a session needs it."""

    def holder(self, digest: str) -> Key | None:
        """Who holds the key with this hash; None when it is unknown or revoked."""
        ...

    def person(self, email: str, groups: Sequence[str] = ()) -> list[Key]:
        """What a person may do, one key a project."""
        ...


@dataclass(frozen=True, slots=True)
class Viewer:
    """A signed-in person: one or more keys with scope ``read``, and the projects these open."""

    keys: tuple[Key, ...]
    projects: tuple[str, ...]

    def key_of(self, project: str) -> Key | None:
        """The most able key for a project; None when it is not this person's."""
        mine = [key for key in self.keys if key.project == project or key.operator]
        return (
            max(mine, key=lambda key: (key.may("edit"), key.may("admin")))
            if mine and project in self.projects
            else None
        )

    def may_edit(self, project: str) -> bool:
        """Whether the person may change the project's documents."""
        key = self.key_of(project)
        return key is not None and key.may("edit")


def viewer_of(keys: Sequence[Key], others: Sequence[str]) -> Viewer:
    """Who these keys make; ``others`` are the projects that an operator's key opens besides its own."""
    own = [key.project for key in keys]
    every = [*own, *others] if any(key.operator for key in keys) else own
    return Viewer(tuple(keys), tuple(dict.fromkeys(every)))


class Sessions:
    """Cookies that hold hashes of keys, never keys; signed, and void when a key is revoked or after seven days."""

    def __init__(self, secret: str, keys: Keys) -> None:
        self._serializer = URLSafeTimedSerializer(secret, salt="spanledger.dashboard.session")
        self._people = URLSafeTimedSerializer(secret, salt="spanledger.dashboard.person")
        self._keys = keys

    def admit(self, email: str, groups: Sequence[str]) -> str | None:
        """A cookie for a person whom the identity provider knows; None when no project has them as a member.

        Raises:
            KeysUnavailableError: the members cannot be read now.
        """
        if not self._keys.person(email, groups):
            return None
        return self._people.dumps({"email": email, "groups": list(groups)})

    def person(self, cookie: str | None) -> list[Key]:
        """What the person of a cookie may do now; roles are looked up anew, so that taking one away works at once.

        Raises:
            KeysUnavailableError: the members cannot be read now.
        """
        if not cookie:
            return []
        try:
            known = cast("dict[str, Any]", self._people.loads(cookie, max_age=PERSON_MAX_AGE_S))
        except BadSignature:
            return []
        return self._keys.person(known["email"], known["groups"])

    def sign_in(self, key: str, cookie: str | None) -> str | None:
        """A cookie that adds the key to the session, newest first; None when the key may not read.

        Raises:
            KeysUnavailableError: the keys cannot be read now.
        """
        digest = hash_key(key.strip())
        if self._reader(digest) is None:
            return None
        digests = [digest, *(known for known in self._digests(cookie) if known != digest)]
        return self._serializer.dumps(digests[:MAX_KEYS])

    def keys(self, cookie: str | None) -> list[Key]:
        """The session's keys that may still read; each is looked up anew, so that revoking one ends its sessions.

        Raises:
            KeysUnavailableError: the keys cannot be read now.
        """
        found = [self._reader(digest) for digest in self._digests(cookie)]
        return [key for key in found if key is not None]

    def _reader(self, digest: str) -> Key | None:
        key = self._keys.holder(digest)
        return key if key is not None and key.may("read") else None

    def _digests(self, cookie: str | None) -> Sequence[str]:
        if not cookie:
            return ()
        try:
            loaded: object = self._serializer.loads(cookie, max_age=MAX_AGE_S)
        except BadSignature:
            return ()
        return [digest for digest in cast("list[object]", loaded) if isinstance(digest, str)]
