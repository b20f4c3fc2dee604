"""Objects of one resource, stored as rendered samples: rendered on change, joined per scrape."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, Protocol, TypeVar

import msgspec

from exporter.config.sharding import WHOLE, Shard
from exporter.metrics.metric import Metric, Sample
from exporter.sources.rayjob.objects import Key, RayMetadata, key_of

Texts = tuple[str, ...]
"""The lines of one object, one text per metric; empty if the metric does not apply."""


class NamedObject(Protocol):
    @property
    def metadata(self) -> RayMetadata: ...


ObjectT = TypeVar("ObjectT", bound=NamedObject)


class RenderedObjects(Generic[ObjectT]):
    """An ObjectStore; objects of other shards are ignored."""

    def __init__(
        self, decode: Callable[[msgspec.Raw], ObjectT], texts: Callable[[ObjectT], Texts], shard: Shard = WHOLE
    ) -> None:
        self._decode = decode
        self._texts = texts
        self._shard = shard
        self._scopes: dict[str, dict[Key, Texts]] = defaultdict(dict)

    def rows(self, scope: str, objects: Sequence[msgspec.Raw]) -> dict[Key, Texts]:  # noqa: ARG002 - the protocol's
        decoded = [self._decode(raw) for raw in objects]
        keyed = [(key_of(one.metadata), one) for one in decoded]
        return {key: self._texts(one) for key, one in keyed if self._shard.owns(*key)}

    def replace(self, scope: str, rows: dict[Key, Texts]) -> None:
        self._scopes[scope] = rows

    def clear(self, scope: str) -> None:
        self._scopes.pop(scope, None)

    def change(self, scope: str, kind: str, raw: msgspec.Raw) -> None:
        one = self._decode(raw)
        key = key_of(one.metadata)
        if not self._shard.owns(*key):
            return
        if kind == "DELETED":
            self._scopes[scope].pop(key, None)
        elif kind in ("ADDED", "MODIFIED"):
            self._scopes[scope][key] = self._texts(one)

    def rows_now(self) -> list[Texts]:
        """The lines of all objects."""
        return [texts for scope in self._scopes.values() for texts in scope.values()]


def joined(metrics: Sequence[Metric], rows: Sequence[Texts]) -> Iterable[Sample]:
    """The lines of all objects, per metric."""
    for metric, texts in zip(metrics, zip(*rows, strict=True), strict=bool(rows)):
        yield metric.lines("".join(texts))
