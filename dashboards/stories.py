"""Dashboard "Stories and tasks": stages, stuck items, durations, and the timeline of a story."""

from __future__ import annotations

from typing import Final

from alerts.dashboard_uid import DashboardUid
from dashboards.grafana import variables
from dashboards.grafana.fields import ACCENT, BAD, OK, QUIET, WARN, ApiLink, FieldOverride, Link, Threshold
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import Dashboard, graph, logs, stat, timeline
from dashboards.grafana.queries import RANGE, STEP, LokiTarget, PrometheusTarget, selector
from dashboards.rows.common import STORY_MARKS, alert_marks, source_health
from dashboards.rows.event_log import events
from dashboards.rows.stages import StagePanels
from exporter.fleet.stages import STORY_MOVES, STORY_STAGES, TASK_MOVES
from exporter.metrics.promql import Query, is_not, unlike
from exporter.sources.fleet.samples import STORIES, TASKS, StageMetrics

_DONE: Final = STORY_STAGES[-1]
_ENDED: Final = "done|cancelled|completed|failed"
_COLORS: Final = dict(zip(STORY_STAGES, (QUIET, "#e6b2ff", "#a5f3fc", ACCENT, WARN, "#fde68a", OK), strict=True))
_STAGES: Final = {str(place): (stage, _COLORS[stage]) for place, stage in enumerate(STORY_STAGES, 1)}
_STORY_LINKS: Final = (ApiLink("Stories by stage", path="/api/stories"), Link("Events", DashboardUid.EVENTS))
_TASK_LINKS: Final = (ApiLink("Tasks by stage", path="/api/fleet/tasks"), Link("Agents", DashboardUid.AGENTS))
_AGENTS: Final = Link("Agents", DashboardUid.AGENTS)

_stories = StagePanels(
    "stories", STORIES, STORY_STAGES, _STORY_LINKS, [FieldOverride(stage, color=color) for stage, color in _COLORS.items()]
)
_tasks = StagePanels("tasks", TASKS, tuple(TASK_MOVES), _TASK_LINKS)


def _at_work(metrics: StageMetrics, ended: str) -> Query:
    return selector(metrics.now, stage=unlike(ended)).sum() | selector(metrics.now).sum() * 0


def _journey() -> LokiTarget:
    """The position of each story's stage since its last change. Services name the field state, phase or stage."""
    places = [f'eq .stage "{stage}"}}}}{place}' for place, stage in enumerate(STORY_STAGES, 1)]
    place = f"{{{{if {'{{else if '.join(places)}{{{{end}}}}"
    return LokiTarget(
        f'last_over_time({{family=~".+"}} | type=~"{"|".join(sorted(STORY_MOVES))}" | story=~"$story"'
        ' | json to_state="to_state", to_phase="to_phase", to="to"'
        " | label_format stage=`{{upper (or .to_state .to_phase .to)}}`"
        f' | label_format place=`{place}` | place!="" | unwrap place | __error__="" [$__range]) by (story)',
        "{{story}}",
    )


_finished = selector(STORIES.moves, to_stage=_DONE).increase(RANGE).sum()
_lead = selector(STORIES.seconds).part("_sum").increase(RANGE).sum().share_of(_finished)

DASHBOARD = Dashboard(
    view=DashboardUid.STORIES,
    title="Stories and tasks",
    description="At which stage are stories and tasks, which are stuck, and how long do they take?",
    variables=[
        variables.text_box("story", "Story", "A story ID or a regular expression; .+ selects all stories.", ".+"),
        variables.EXPORTER_URL,
    ],
    annotations=[alert_marks("fleet"), STORY_MARKS],
    rows=[
        Row(
            "",
            [
                *source_health("fleet", "event streams", width=3),
                stat(
                    "Stories",
                    f"Stories that are not {_DONE} (fleet_stories).",
                    PrometheusTarget(_at_work(STORIES, _DONE)),
                    width=3,
                    decimals=0,
                    links=_STORY_LINKS,
                ),
                stat(
                    "Oldest",
                    f"Longest time that a story has been in its current stage, without {_DONE} "
                    "(fleet_story_oldest_in_stage_timestamp_seconds).",
                    PrometheusTarget(selector(STORIES.oldest, stage=is_not(_DONE)).age().max()),
                    unit="s",
                    width=3,
                    links=_STORY_LINKS,
                ),
                stat(
                    "Done",
                    f"Stories that reached {_DONE} in the time range (fleet_story_transitions_total).",
                    PrometheusTarget(_finished | selector(STORIES.moves).increase(RANGE).sum() * 0),
                    width=3,
                    decimals=0,
                    base=OK,
                    links=_STORY_LINKS,
                ),
                stat(
                    "Lead time",
                    "Mean time of a story from first to last stage: time spent in stages divided by completed stories, in "
                    "the time range (fleet_story_stage_duration_seconds). Accurate if as many stories start as finish; no "
                    "data if none finished.",
                    PrometheusTarget(_lead),
                    unit="s",
                    width=3,
                    links=_STORY_LINKS,
                ),
                stat(
                    "Open tasks",
                    "Tasks that are not done, cancelled, completed or failed (fleet_tasks).",
                    PrometheusTarget(_at_work(TASKS, _ENDED)),
                    width=3,
                    decimals=0,
                    links=_TASK_LINKS,
                ),
                stat(
                    "Invalid",
                    "Transitions of stories and tasks in the time range that the stage rules do not allow "
                    "(fleet_story_illegal_transitions_total, fleet_task_illegal_transitions_total).",
                    PrometheusTarget(
                        selector(STORIES.illegal).increase(RANGE).sum() + selector(TASKS.illegal).increase(RANGE).sum()
                    ),
                    width=3,
                    decimals=0,
                    limits=[Threshold(1, BAD)],
                    links=[Link("Events", DashboardUid.EVENTS)],
                ),
                _stories.table(width=14, height=9),
                _stories.over_time(width=10, height=9),
                _tasks.table(width=14, height=9),
                _tasks.over_time(width=10, height=9),
            ],
        ),
        Row(
            "Story timeline",
            [
                timeline(
                    "Stages by story",
                    "Stage of each story over time, from its events in Loki. Select stories with the variable Story.",
                    _journey(),
                    states=_STAGES,
                    width=24,
                    height=10,
                    links=[
                        ApiLink("Timeline", path="/api/stories/{story}"),
                        Link("Only this story", DashboardUid.STORIES, {"story": "story"}),
                        Link("Events", DashboardUid.EVENTS, {"story": "story"}),
                    ],
                ),
                logs(
                    "Story events",
                    "Events of the selected stories from Loki: stages, plans, tasks, deliberations and responses.",
                    events('family=~".+"', 'story=~"$story"'),
                    width=24,
                ),
            ],
        ),
        Row(
            "Story transitions",
            [
                _stories.moves(width=12, height=12),
                graph(
                    "Started and completed stories",
                    f"Stories that left {STORY_STAGES[0]} and stories that reached {_DONE}, per graph step "
                    "(fleet_story_transitions_total).",
                    PrometheusTarget(selector(STORIES.moves, from_stage=STORY_STAGES[0]).increase(STEP).sum(), "started"),
                    PrometheusTarget(selector(STORIES.moves, to_stage=_DONE).increase(STEP).sum(), "done"),
                    unit="locale",
                    bars=True,
                    width=12,
                    height=12,
                    links=_STORY_LINKS,
                    columns=[FieldOverride("started", color=ACCENT), FieldOverride("done", color=OK)],
                ),
                _stories.moved(),
                _stories.stays(),
                _stories.stays_heat(),
            ],
        ),
        Row(
            "Task transitions",
            [
                _tasks.moves(width=12, height=12),
                graph(
                    "Invalid transitions",
                    "Transitions that the stage rules do not allow, per graph step "
                    "(fleet_story_illegal_transitions_total, fleet_task_illegal_transitions_total).",
                    PrometheusTarget(selector(STORIES.illegal).increase(STEP).sum(), "stories"),
                    PrometheusTarget(selector(TASKS.illegal).increase(STEP).sum(), "tasks"),
                    unit="locale",
                    bars=True,
                    width=12,
                    height=12,
                    links=[Link("Events", DashboardUid.EVENTS)],
                ),
                _tasks.moved(),
                _tasks.stays(),
                _tasks.stays_heat(),
            ],
            collapsed=True,
        ),
    ],
)
