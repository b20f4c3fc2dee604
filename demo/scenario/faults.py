"""Faults that are injected and removed while the demo runs: their names, their effects, and the commands. No I/O.

A fault is a state that each simulated service checks with every step, so one may be injected before its backend is up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class FaultError(ValueError):
    """One sentence: the unknown fault and the known ones."""


class Backend(StrEnum):
    """Where a fault is injected, by its display name."""

    NATS = "NATS"
    VLLM = "vLLM"
    KUBERNETES = "the Kubernetes API server"


class Fault(StrEnum):
    """What can be broken."""

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
    def effect(self) -> str:
        return _EFFECTS[self][1]

    @property
    def backend(self) -> Backend:
        return _EFFECTS[self][0]


_EFFECTS: Final = {
    Fault.AGENT: (Backend.NATS, "one agent stops responding while the rest of its council responds"),
    Fault.LAG: (Backend.NATS, "a consumer stops reading and 150 messages are published for it"),
    Fault.POD: (Backend.KUBERNETES, "the pod of the workflow service is in CrashLoopBackOff"),
    Fault.POISON: (Backend.NATS, "a consumer naks every message, and each is redelivered"),
    Fault.RAYJOB: (Backend.KUBERNETES, "a RayJob fails"),
    Fault.STREAM: (Backend.NATS, "the expected stream AGENT_RESULTS is deleted"),
    Fault.UNREAD: (Backend.NATS, "the archive's consumer is not read"),
    Fault.VLLM: (Backend.VLLM, "every request to vLLM takes ten seconds longer"),
    Fault.WORKLOAD: (Backend.KUBERNETES, "the expected workload monitoring has no pod"),
}


def named(text: str) -> frozenset[Fault]:
    """The faults of a list such as `lag,pod`; `none` is the empty list. Raises FaultError."""
    return frozenset() if text == "none" else frozenset(_fault(name.strip()) for name in text.split(","))


def _fault(name: str) -> Fault:
    try:
        return Fault(name)
    except ValueError:
        raise FaultError(f"unknown fault {name!r}: expected one of {', '.join(Fault)}") from None


@dataclass
class Faults:
    """The faults that are active. Services check `fault in faults`; the demo adds each backend when it is up."""

    broken: set[Fault] = field(default_factory=set)
    backends: set[Backend] = field(default_factory=set)

    def __contains__(self, fault: Fault) -> bool:
        return fault in self.broken

    def run(self, line: str) -> str:
        """Execute a command (`break NAME…`, `restore NAME…`, `faults`) and return what to print."""
        match line.split():
            case []:
                return ""
            case ["break", *names] if names:
                return self._set_all(names, broken=True)
            case ["restore", *names] if names:
                return self._set_all(names, broken=False)
            case ["faults"]:
                return self.listed()
            case [word, *_]:
                return f"unknown command {word!r}: expected break NAME, restore NAME or faults"
        raise AssertionError(line)

    def listed(self) -> str:
        """Every fault with its state and effect, one per line."""
        return "\n".join(f"  {fault:<10}{'broken' if fault in self else 'ok':<8}{fault.effect}" for fault in Fault)

    def _set_all(self, names: Iterable[str], *, broken: bool) -> str:
        try:
            return "\n".join([self._set(fault, broken=broken) for fault in [_fault(name) for name in names]])
        except FaultError as unknown:
            return str(unknown)

    def _set(self, fault: Fault, *, broken: bool) -> str:
        if (fault in self.broken) == broken:
            return f"{fault} is already {'broken' if broken else 'ok'}"
        (self.broken.add if broken else self.broken.discard)(fault)
        if fault.backend not in self.backends:
            return f"{fault} will be {'broken' if broken else 'restored'} when {fault.backend} is up"
        return f"Broken: {fault.effect}" if broken else f"Restored: {fault}"
