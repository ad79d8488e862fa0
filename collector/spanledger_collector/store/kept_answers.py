"""The gateways' kept answers, as Redis holds them: which entries there are to delete, and the word that they are gone.

Every gateway follows the log that is written here, so an entry that was deleted is served nowhere two seconds later.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import redis

from spanledger.serving.caching import Entry

from .registry.announce import CHANNEL

LOG = "spanledger:cache-log"
_MOST_LOGGED = 100_000
_HEAD_BYTES = 8191
_BATCH = 500

Reason = Literal["wrong", "invalidated", "erased"]


class KeptAnswersAwayError(Exception):
    """Redis does not answer: nothing was deleted, or not all; ask again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which entries: all that is given must fit.

    ``prompt`` is ``name`` or ``name@version``; ``query`` a question word for word, case and spaces aside.
    """

    route: str = ""
    prompt: str = ""
    corpus: str = ""
    tag: str = ""
    user: str = ""
    query: str = ""
    entry: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is selected."""
        return not any((self.route, self.prompt, self.corpus, self.tag, self.user, self.query, self.entry))

    def fits(self, name: str, entry: Entry) -> bool:
        """Whether an entry is selected."""
        prompts = (entry.prompt, entry.prompt.partition("@")[0])
        return (
            self.entry in ("", name)
            and self.route in ("", entry.route)
            and (not self.prompt or self.prompt in prompts)
            and self.corpus in ("", entry.corpus)
            and (not self.tag or self.tag in [tag.strip() for tag in entry.tags.split(",")])
            and self.user in ("", entry.user)
            and (not self.query or _plain(self.query) == _plain(entry.question))
        )


class KeptAnswers:
    """Deletes entries of one Redis."""

    def __init__(self, client: redis.Redis) -> None:
        """Work through ``client``; give it short timeouts."""
        self._client: Any = client  # its stubs leave pipelines half unknown

    def drop(self, project: str, entry: str, reason: Reason) -> bool:
        """Delete one entry everywhere; whether it was still there.

        Raises:
            KeptAnswersAwayError: Redis does not answer.
        """
        with _reached():
            return self._drop(project, [entry], reason) > 0

    def invalidate(self, project: str, selection: Selection) -> int:
        """Delete the selected entries of a project everywhere; how many there were.

        Raises:
            KeptAnswersAwayError: Redis does not answer.
        """
        reason: Reason = "erased" if selection.user else "invalidated"
        with _reached():
            return sum(
                self._drop(project, names, reason)
                for names in _batches(
                    name for name, entry in self._all(project) if selection.fits(name, entry)
                )
            )

    def _all(self, project: str) -> Iterator[tuple[str, Entry]]:
        """Every entry of the project, without its body."""
        prefix = f"spanledger:cache:{project}:"
        pattern = re.sub(r"([*?\[\]\\])", r"\\\1", prefix) + "*"
        found = self._client.scan_iter(match=pattern, count=_BATCH)
        names = (key.decode()[len(prefix) :] for key in found)
        for batch in _batches(name for name in names if re.fullmatch("[0-9a-f]{32}", name)):
            pipe = self._client.pipeline(transaction=False)
            for name in batch:
                pipe.getrange(prefix + name, 0, _HEAD_BYTES)
            for name, data in zip(batch, pipe.execute(), strict=True):
                entry = Entry.of_head(data.partition(b"\n")[0])
                if entry is not None:
                    yield name, entry

    def _drop(self, project: str, names: Sequence[str], reason: Reason) -> int:
        keys = [f"spanledger:cache:{project}:{name}" for name in names]
        pipe = self._client.pipeline(transaction=False)
        for key in keys:
            pipe.getrange(key, 0, _HEAD_BYTES)
        heads = [Entry.of_head(data.partition(b"\n")[0]) for data in pipe.execute()]
        pipe = self._client.pipeline(transaction=True)
        pipe.delete(*keys)
        for name, head in zip(names, heads, strict=True):
            if head is not None and head.route:
                pipe.zrem(f"spanledger:cache-used:{project}:{head.route}", name)
            message = {"op": "drop", "project": project, "entry": name, "reason": reason}
            pipe.xadd(LOG, message, maxlen=_MOST_LOGGED, approximate=True)
        pipe.publish(CHANNEL, json.dumps({"kind": "cache", "project": project}))
        return int(pipe.execute()[0])


@contextmanager
def _reached() -> Generator[None]:
    try:
        yield
    except redis.RedisError as lost:
        raise KeptAnswersAwayError(f"Redis does not answer: {lost}") from lost


def _batches(names: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    for name in names:
        batch.append(name)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _plain(question: str) -> str:
    return " ".join(question.split()).casefold()
