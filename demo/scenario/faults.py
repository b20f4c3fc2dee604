"""Faults that begin and end while the demo runs: which are there, what each does, and the words that ask for them. No I/O.

A fault is a state that each simulated service looks at with every step, so one may be asked for before the service that it
concerns has joined.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class FaultError(ValueError):
    """One sentence: which fault there is not, and which there are."""


class Backend(StrEnum):
    """Where a fault happens, by the name that the demo speaks of it."""

    NATS = "NATS"
    VLLM = "vLLM"
    KUBERNETES = "the Kubernetes API server"


class Fault(StrEnum):
    """What may go wrong."""

    AGENT = "agent"
    LAG = "lag"
    POD = "pod"
    POISON = "poison"
    RAYJOB = "rayjob"
    STREAM = "stream"
    UNREAD = "unread"
    VLLM = "vllm"
    WORKLOAD = "workload"

    @property
    def meaning(self) -> str:
        return _MEANINGS[self][1]

    @property
    def backend(self) -> Backend:
        return _MEANINGS[self][0]


_MEANINGS: Final = {
    Fault.AGENT: (Backend.NATS, "an agent falls silent while the others of its council answer"),
    Fault.LAG: (Backend.NATS, "a consumer stops reading, and 150 messages come for it"),
    Fault.POD: (Backend.KUBERNETES, "the pod of the workflow service starts and fails again and again"),
    Fault.POISON: (Backend.NATS, "a consumer refuses every message, and gets each again"),
    Fault.RAYJOB: (Backend.KUBERNETES, "a RayJob fails"),
    Fault.STREAM: (Backend.NATS, "the stream AGENT_RESULTS, which the fleet expects, is missing"),
    Fault.UNREAD: (Backend.NATS, "nobody reads the consumer of the archive"),
    Fault.VLLM: (Backend.VLLM, "every request to vLLM takes ten seconds longer"),
    Fault.WORKLOAD: (Backend.KUBERNETES, "the monitoring service, which the fleet expects, has no pod"),
}
USUAL: Final = frozenset({Fault.POD, Fault.POISON, Fault.STREAM, Fault.UNREAD, Fault.WORKLOAD})
"""Broken from the beginning, unless other faults are named: a fleet in which all is well shows little."""


def named(text: str) -> frozenset[Fault]:
    """From such as `lag,pod`, or `none`. Raises FaultError."""
    return frozenset() if text == "none" else frozenset(_fault(name.strip()) for name in text.split(","))


def _fault(name: str) -> Fault:
    try:
        return Fault(name)
    except ValueError:
        raise FaultError(f"there is no fault {name!r}: there are {', '.join(Fault)}") from None


@dataclass
class Faults:
    """What is broken just now. Services ask with `fault in faults`; the demo adds the backends that join."""

    broken: set[Fault] = field(default_factory=set)
    joined: set[Backend] = field(default_factory=set)

    def __contains__(self, fault: Fault) -> bool:
        return fault in self.broken

    def obey(self, line: str) -> str:
        """Do what a line says (`break NAME…`, `mend NAME…`, `faults`) and return the answer to it."""
        match line.split():
            case []:
                return ""
            case ["break", *names] if names:
                return self._answer(names, broken=True)
            case ["mend", *names] if names:
                return self._answer(names, broken=False)
            case ["faults"]:
                return self.listed()
            case [word, *_]:
                return f"{word!r} is nothing that can be done here: write break NAME, mend NAME or faults"
        raise AssertionError(line)

    def listed(self) -> str:
        """Every fault with its state and meaning, a line each."""
        return "\n".join(f"  {fault:<10}{'broken' if fault in self else 'well':<8}{fault.meaning}" for fault in Fault)

    def _answer(self, names: Iterable[str], *, broken: bool) -> str:
        try:
            return "\n".join([self._set(fault, broken=broken) for fault in [_fault(name) for name in names]])
        except FaultError as unknown:
            return str(unknown)

    def _set(self, fault: Fault, *, broken: bool) -> str:
        if (fault in self.broken) == broken:
            return f"{fault} is {'broken' if broken else 'well'} already"
        (self.broken.add if broken else self.broken.discard)(fault)
        if fault.backend not in self.joined:
            return f"{fault} will be {'broken' if broken else 'well'} when {fault.backend} has joined, which it has not yet"
        return f"Broken: {fault.meaning}" if broken else f"Mended, no longer so: {fault.meaning}"
