"""Words that this project does not write, with what to write instead, and where they are counted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final


@dataclass(frozen=True)
class OddWord:
    """A pattern that a native site reliability engineer would rewrite."""

    pattern: str
    instead: str

    @cached_property
    def expression(self) -> re.Pattern[str]:
        return re.compile(rf"\b(?:{self.pattern})\b", re.IGNORECASE)


PROSE: Final[tuple[OddWord, ...]] = (
    OddWord(r"tells?|told|telling|retold", "report, show, say, notify, distinguish"),
    OddWord(r"heard of|not heard|hears? of", "seen, received a heartbeat from"),
    OddWord(r"anew", "again"),
    OddWord(r"mend(?:s|ed|ing)?", "fix, restore"),
    OddWord(r"beside", "next to"),
    OddWord(r"bears?|borne", "handle, support, carry"),
    OddWord(r"(?:is|are|was|were|be) had", "is available, comes from"),
    OddWord(r"whoever|whosoever", "anyone who, the person who"),
    OddWord(r"nobody|somebody|everybody|no-one", "no one, someone, everyone; or name the component"),
    OddWord(
        r"(?:of|on) (?:its|their|his) own(?=\s*(?:[.,;:)]|$| (?:and|or|that|for|on|in|is)\b))",
        "separate, its own X, by itself",
    ),
    OddWord(r"on (?:its|their) way", "in flight, pending"),
    OddWord(r"(?:taken|takes?|took) up(?! to)", "started, resumed, picked up"),
    OddWord(r"so that [^.;:\n]{0,60}\bnot", "to avoid, to keep X from"),
    OddWord(r"those (?:that|who|which|whose|of)", "the X that"),
    OddWord(r"(?:of|in|from|to|at|by|for|with) what (?:is|are|was|were)", "the X that"),
    OddWord(r"what else", "other X"),
    OddWord(r"all else|nothing else|and nothing besides", "only, all other X"),
    OddWord(r"(?:say|says|said|speaks?|spoke) of", "reports, describes"),
    OddWord(
        r"to spare|in a hurry|without a trace|gives? away|given away", "unused, shortened, without side effects, delivers"
    ),
    OddWord(r"again and again|over and over", "repeatedly; or name the condition: crash-looping, redelivered"),
    OddWord(
        r"seldom|hardly|meanwhile|moreover|thereof|wherein|thus|hence(?:forth)?", "rarely, almost never, until then, also"
    ),
    OddWord(r"goes? on|went on|going on", "continues, happens"),
    OddWord(r"(?:deal|deals|dealt) with", "handle"),
    OddWord(r"unless (?:told|said|you say) otherwise", "default: X"),
    OddWord(r"a quarter of an hour|half an hour|an hour ago", "15 minutes, 30 minutes, 1 hour ago"),
    OddWord(
        r"(?:messages|requests|events|answers|tokens|dollars|bytes|errors) (?:a|an) (?:second|minute|hour|day)", "per second"
    ),
    OddWord(
        r"(?:failed|late|first|last|no|agents?'?|per) answers?",
        "response (HTTP, agents), reply (NATS, ValKey), result (Neo4j)",
    ),
    OddWord(r"one in (?:ten|twenty|a hundred)|\d+ of 100", "10%, p95"),
    OddWord(r"are no (?:events|tasks)|is no (?:event|task|address)", "unparseable events, invalid X"),
    OddWord(r"shall|ought|lest|whilst|ere", "must, should, to avoid, while"),
    OddWord(r"(?:is|are) wanted", "requested, desired, enabled"),
    OddWord(r"comes? to nothing|come of|came of|became of", "result, outcome"),
    OddWord(r"(?:is|are) asked(?: for)?", "is requested, queries X"),
    OddWord(r"at peace|in peace|is well|are well|gets? nothing|silences what", "healthy, receives no messages, mutes"),
    OddWord(r"long(?:er)? than meant|is meant|are meant", "intended, expected; name it"),
)
"""For everything that people read. Prometheus', Kubernetes' and NATS' documentation uses none of them in these senses."""

NAMES: Final[tuple[OddWord, ...]] = (
    OddWord(r"told|tells?|retold", "the noun of the value: reported, sent, logged"),
    OddWord(r"heard|hears?|hearsay", "touch, seen, received"),
    OddWord(r"mend(?:s|ed|ing)?", "fix, restore"),
    OddWord(r"anew", "again, reset"),
    OddWord(r"hurry|patience|patient", "fast, timeout"),
    OddWord(r"roster|introduce[sd]?|meets?", "registry, register"),
    OddWord(r"tap|taps|tapped", "consumer"),
    OddWord(r"whoever|nobody|somebody|everybody|anybody", "the component"),
    OddWord(r"unshown|beside|lasting", "the standard term"),
    OddWord(r"follower|followers", "watcher, consumer"),
)
"""For the parts of identifiers, split at underscores and capitals."""
