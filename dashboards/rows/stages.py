"""Panels for stories and tasks: items per stage, time in stage, and transitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dashboards.grafana.fields import ACCENT, QUIET, ApiLink, FieldOverride, Link
from dashboards.grafana.panels import Panel, graph, heatmap, node_graph, table
from dashboards.grafana.queries import RANGE, RATE, STEP, PrometheusTarget, labelled, raw, selector
from exporter.metrics.promql import Query
from exporter.sources.fleet.samples import StageMetrics


@dataclass(frozen=True)
class StagePanels:
    """`things` is a plural; `order` lists the ordered stages; `links` apply to each stage."""

    things: str
    metrics: StageMetrics
    order: Sequence[str]
    links: Sequence[Link | ApiLink]
    columns: Sequence[FieldOverride] = ()

    def table(self, *, width: int, height: int) -> Panel:
        """Stages in order, with their items and the time in stage."""
        metrics, things = self.metrics, self.things
        entered = selector(metrics.moves).increase(RANGE)
        return table(
            f"{things.capitalize()} by stage",
            f"Current {things} by stage and age of the oldest; time in stage of {things} that left, and transitions, in "
            f"the time range ({metrics.now.name}, {metrics.seconds.name}, {metrics.moves.name}).",
            ["stage"],
            [
                (FieldOverride("#", decimals=0, width=50), self.places()),
                (FieldOverride(things, decimals=0), PrometheusTarget(selector(metrics.now).sum("stage"))),
                (FieldOverride("oldest", unit="s"), PrometheusTarget(selector(metrics.oldest).min("stage").age())),
                (
                    FieldOverride("time p50", unit="s"),
                    PrometheusTarget(selector(metrics.seconds).quantile(0.5, "stage", window=RANGE)),
                ),
                (
                    FieldOverride("time p95", unit="s"),
                    PrometheusTarget(selector(metrics.seconds).quantile(0.95, "stage", window=RANGE)),
                ),
                (FieldOverride("entered", decimals=0), PrometheusTarget(_by_stage(entered, "to_stage"))),
                (FieldOverride("left", decimals=0), PrometheusTarget(_by_stage(entered, "from_stage"))),
            ],
            key_columns=[FieldOverride("stage", links=self.links)],
            sort="#",
            descending=False,
            width=width,
            height=height,
        )

    def over_time(self, *, width: int, height: int) -> Panel:
        """Items per stage over time."""
        return graph(
            f"{self.things.capitalize()} over time",
            f"{self.things.capitalize()} by stage ({self.metrics.now.name}).",
            PrometheusTarget(selector(self.metrics.now).sum("stage"), "{{stage}}"),
            unit="locale",
            decimals=0,
            stacked=True,
            width=width,
            height=height,
            links=self.links,
            columns=self.columns,
        )

    def moves(self, *, width: int, height: int) -> Panel:
        """Stages as nodes, transitions in the time range as edges."""
        return node_graph(
            f"Transitions of {self.things}",
            f"Stages with their current {self.things}, and transitions in the time range ({self.metrics.now.name}, "
            f"{self.metrics.moves.name}).",
            self.nodes(),
            self.edges(),
            links=self.links,
            width=width,
            height=height,
        )

    def nodes(self) -> PrometheusTarget:
        """Stages with their current items, blue, or gray without any; includes both stages of every transition, even one
        that did not occur.
        """
        moved = selector(self.metrics.moves).increase(RANGE)
        ends = [_circles(moved, side) for side in ("from_stage", "to_stage")]
        there = _circles(selector(self.metrics.now), "stage").text
        everywhere = " or ".join([there, *(f"{end.text} * 0" for end in ends)])
        busy, empty = (raw(f"(({everywhere}) {compared} 0)", "id", "title") for compared in (">", "=="))
        return PrometheusTarget(labelled(busy, "color", ACCENT) | labelled(empty, "color", QUIET))

    def edges(self) -> PrometheusTarget:
        """Transitions with their counts."""
        ways = selector(self.metrics.moves).increase(RANGE).sum("from_stage", "to_stage")
        arrows = labelled(labelled(ways, "source", "$1", "from_stage", "(.*)"), "target", "$1", "to_stage", "(.*)")
        named = f'label_join({arrows.text}, "id", " → ", "source", "target")'
        return PrometheusTarget(raw(f"sum by (id, source, target) ({named}) > 0", "id", "source", "target"))

    def moved(self, *, width: int | None = None) -> Panel:
        """Transitions per graph step."""
        return graph(
            f"{self.things.capitalize()} transitions over time",
            f"Transitions per graph step, by previous and new stage ({self.metrics.moves.name}).",
            PrometheusTarget(
                selector(self.metrics.moves).increase(STEP).sum("from_stage", "to_stage"), "{{from_stage}} → {{to_stage}}"
            ),
            unit="locale",
            stacked=True,
            bars=True,
            width=width,
            links=self.links,
        )

    def stays(self, *, width: int | None = None) -> Panel:
        """p95 of the time in a stage."""
        return graph(
            f"Time in stage, {self.things} (p95)",
            f"p95 of the time that {self.things} spent in the stage they left ({self.metrics.seconds.name}).",
            PrometheusTarget(selector(self.metrics.seconds).quantile(0.95, "stage", window=RATE), "{{stage}}"),
            unit="s",
            width=width,
            links=self.links,
            columns=self.columns,
        )

    def stays_heat(self, *, width: int | None = None) -> Panel:
        """Time in stage, all stages."""
        return heatmap(
            f"{self.things.capitalize()} by time in stage",
            f"{self.things.capitalize()} per second that left a stage, by time in stage ({self.metrics.seconds.name}).",
            PrometheusTarget(selector(self.metrics.seconds).bucket_rate(RATE).sum("le"), "{{le}}"),
            unit="s",
            width=width,
        )

    def places(self) -> PrometheusTarget:
        """The position of each stage in the order; other stages come last."""
        every = selector(self.metrics.now).max("stage")
        known = [
            raw(f"{selector(self.metrics.now, stage=stage).max('stage').text} * 0 + {place}", "stage")
            for place, stage in enumerate(self.order, 1)
        ]
        return PrometheusTarget(
            raw(" or ".join([*(one.text for one in known), f"{every.text} * 0 + {len(known) + 1}"]), "stage")
        )


def _by_stage(moved: Query, side: str) -> Query:
    return labelled(moved, "stage", "$1", side, "(.*)").sum("stage")


def _circles(query: Query, stage: str) -> Query:
    return labelled(labelled(query, "id", "$1", stage, "(.*)"), "title", "$1", stage, "(.*)").sum("id", "title")
