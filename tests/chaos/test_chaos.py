"""A minute of chaos with the backends that start at once; `make chaos` is ten minutes with all."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers import nats, valkey
from tests.chaos.invariants import Broken, Pages
from tests.chaos.run import chaos
from tests.chaos.schedule import MODES, schedule
from tests.support.servers import required

pytestmark = pytest.mark.slow


async def test_a_minute_of_chaos() -> None:
    with required():
        valkey.prepare()
        nats.prepare()
    said: list[str] = []

    assert await chaos(random.Random(7), 7, 60, ("nats", "valkey", "vllm"), say=said.append) > 20
    assert said[0].startswith("seed 7, 60 s")


@given(seed=st.integers(0, 1000), seconds=st.floats(1, 2000))
def test_a_seed_gives_the_same_schedule_and_every_mode(seed: int, seconds: float) -> None:
    faults = schedule(seed, seconds, ("a", "b"))

    assert faults == schedule(seed, seconds, ("a", "b"))
    assert all(fault.start < fault.end <= seconds for fault in faults)
    for backend in ("a", "b"):
        own = [fault for fault in faults if fault.backend == backend]
        assert all(one.end < other.start for one, other in itertools.pairwise(own))
        assert len({fault.mode for fault in own}) == min(len(own), len(MODES))


UP = 'fleet_exporter_source_up{source="valkey",server="h:1"}'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{UP} 1\nx_total 4\n", "went back from 5.0 to 4.0"),
        (f"{UP} 1\nx_total 5\nx_total 6\n", "twice"),
        (f"{UP} 0\nx_total 5\n", "not up although their backends respond: valkey"),
        ("x_total 5\n", "not up"),
    ],
)
def test_a_broken_invariant_is_found(text: str, words: str) -> None:
    pages = Pages()
    pages.check(f"{UP} 1\nx_total 5\n", {"valkey"})

    with pytest.raises(Broken, match=words):
        pages.check(text, {"valkey"})


def test_a_source_may_be_late_on_few_pages_in_a_row() -> None:
    pages = Pages(allowed_down=2)
    for state in (1, 0, 0, 1, 0, 0):
        pages.check(f"{UP} {state}\n", {"valkey"})

    with pytest.raises(Broken, match="not up"):
        pages.check(f"{UP} 0\n", {"valkey"})


def test_a_source_may_be_late_on_fewer_pages_until_it_has_recovered() -> None:
    pages = Pages(allowed_down=2, allowed_unrecovered=1)
    pages.check(f"{UP} 1\n", {"valkey"})
    pages.check(f"{UP} 1\n", set(), {"valkey"})  # not yet noticed
    pages.check(f"{UP} 0\n", {"valkey"})

    with pytest.raises(Broken, match=r"not up .* valkey \(timeout\)"):
        pages.check(
            f'{UP} 0\nfleet_exporter_source_failure{{source="valkey",server="h:1",reason="timeout"}} 1\n', {"valkey"}
        )
