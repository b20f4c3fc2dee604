"""What stories and tasks have alike: a row of their stages, how long they stay there, and the moves between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dashboards.grafana.fields import ApiLink, Column, Link
from dashboards.grafana.panels import Panel, graph, heatmap, node_graph, table
from dashboards.grafana.queries import RANGE, RATE, Line, labelled, raw, shown
from exporter.metrics.promql import Query
from exporter.sources.fleet.samples import StageMetrics


@dataclass(frozen=True)
class Staged:
    """`things` in the plural; `order` of those stages that have one; `link` to each of them."""

    things: str
    metrics: StageMetrics
    order: Sequence[str]
    links: Sequence[Link | ApiLink]
    columns: Sequence[Column] = ()

    def table(self, *, width: int, height: int) -> Panel:
        """Stages in their order with what is in each and for how long."""
        metrics, things = self.metrics, self.things
        entered = shown(metrics.moves).increase(RANGE)
        return table(
            f"{things.capitalize()} by stage",
            f"{things.capitalize()} in each stage, since when the oldest is there, how long those that left it in the time "
            f"shown had been there, and how many came and left ({metrics.now.name}, {metrics.seconds.name}, "
            f"{metrics.moves.name}).",
            ["stage"],
            [
                (Column("#", decimals=0, width=50), self.places()),
                (Column(things, decimals=0), Line(shown(metrics.now).sum("stage"))),
                (Column("oldest", unit="s"), Line(shown(metrics.oldest).min("stage").age())),
                (Column("stay p50", unit="s"), Line(shown(metrics.seconds).quantile(0.5, "stage", window=RANGE))),
                (Column("stay p95", unit="s"), Line(shown(metrics.seconds).quantile(0.95, "stage", window=RANGE))),
                (Column("came", decimals=0), Line(_by_stage(entered, "to_stage"))),
                (Column("left", decimals=0), Line(_by_stage(entered, "from_stage"))),
            ],
            key_columns=[Column("stage", links=self.links)],
            sort="#", descending=False, width=width, height=height,
        )  # fmt: skip

    def over_time(self, *, width: int, height: int) -> Panel:
        """How many were in each stage."""
        return graph(
            f"{self.things.capitalize()} over time",
            f"{self.things.capitalize()} in each stage ({self.metrics.now.name}).",
            Line(shown(self.metrics.now).sum("stage"), "{{stage}}"),
            unit="short", decimals=0, stacked=True, width=width, height=height, links=self.links, columns=self.columns,
        )  # fmt: skip

    def moves(self, *, width: int, height: int) -> Panel:
        """Stages as circles, moves in the time shown as arrows."""
        return node_graph(
            f"Moves of {self.things}",
            f"Stages with the {self.things} that are there now, and moves from one to another in the time shown "
            f"({self.metrics.now.name}, {self.metrics.moves.name}).",
            self.nodes(), self.edges(), width=width, height=height,
        )  # fmt: skip

    def nodes(self) -> Line:
        """Stages with how many are there; both ends of every way are among them, whether or not anything moved."""
        moved = shown(self.metrics.moves).increase(RANGE)
        ends = [_circles(moved, side) for side in ("from_stage", "to_stage")]
        there = _circles(shown(self.metrics.now), "stage").text
        return Line(raw(" or ".join([there, *(f"{end.text} * 0" for end in ends)]), "id", "title"))

    def edges(self) -> Line:
        """Ways that were taken, and how often."""
        ways = shown(self.metrics.moves).increase(RANGE).sum("from_stage", "to_stage")
        arrows = labelled(labelled(ways, "source", "$1", "from_stage", "(.*)"), "target", "$1", "to_stage", "(.*)")
        named = f'label_join({arrows.text}, "id", " → ", "source", "target")'
        return Line(raw(f"sum by (id, source, target) ({named}) > 0", "id", "source", "target"))

    def moved(self, *, width: int | None = None) -> Panel:
        """Moves in each step of time."""
        return graph(
            f"Moves of {self.things} over time",
            f"Moves in each step, from one stage to another ({self.metrics.moves.name}).",
            Line(shown(self.metrics.moves).increase(RATE).sum("from_stage", "to_stage"), "{{from_stage}} → {{to_stage}}"),
            unit="short", stacked=True, bars=True, width=width, links=self.links, calcs=["sum"],
        )  # fmt: skip

    def stays(self, *, width: int | None = None) -> Panel:
        """95th percentile of the time in a stage."""
        return graph(
            f"Stay of {self.things}",
            f"How long {self.things} had been in the stage that they left: 95 of 100 less ({self.metrics.seconds.name}).",
            Line(shown(self.metrics.seconds).quantile(0.95, "stage", window=RATE), "{{stage}}"),
            unit="s", width=width, links=self.links, columns=self.columns,
        )  # fmt: skip

    def stays_heat(self, *, width: int | None = None) -> Panel:
        """How long they stay, whatever the stage."""
        return heatmap(
            f"{self.things.capitalize()} by stay",
            f"How many {self.things} a second left a stage after how long ({self.metrics.seconds.name}).",
            Line(shown(self.metrics.seconds).bucket_rate(RATE).sum("le"), "{{le}}"),
            unit="s", width=width,
        )  # fmt: skip

    def places(self) -> Line:
        """The number of each stage in the order; other stages come after it."""
        every = shown(self.metrics.now).max("stage")
        known = [
            raw(f"{shown(self.metrics.now, stage=stage).max('stage').text} * 0 + {place}", "stage")
            for place, stage in enumerate(self.order, 1)
        ]
        return Line(raw(" or ".join([*(one.text for one in known), f"{every.text} * 0 + {len(known) + 1}"]), "stage"))


def _by_stage(moved: Query, side: str) -> Query:
    return labelled(moved, "stage", "$1", side, "(.*)").sum("stage")


def _circles(query: Query, stage: str) -> Query:
    return labelled(labelled(query, "id", "$1", stage, "(.*)"), "title", "$1", stage, "(.*)").sum("id", "title")
