"""Stories and tasks: where is each, what is stuck, how long does it take, and what became of one of them?"""

from __future__ import annotations

from typing import Final

from alerts.view import View
from dashboards.grafana import variables
from dashboards.grafana.fields import ACCENT, BAD, OK, QUIET, WARN, ApiLink, Column, Limit, Link
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import Dashboard, graph, logs, stat, timeline
from dashboards.grafana.queries import RANGE, RATE, Line, Logs, shown
from dashboards.rows.common import STORY_MARKS, alert_marks, source_health
from dashboards.rows.event_log import events
from dashboards.rows.stages import Staged
from exporter.fleet.stages import STORY_MOVES, STORY_STAGES, TASK_MOVES
from exporter.metrics.promql import Query, is_not, unlike
from exporter.sources.fleet.samples import STORIES, TASKS, StageMetrics

_DONE: Final = STORY_STAGES[-1]
_ENDED: Final = "done|cancelled|completed|failed"
_COLOURS: Final = dict(
    zip(STORY_STAGES, (QUIET, "#a78bfa", "#22d3ee", ACCENT, WARN, "#facc15", OK), strict=True)
)  # fmt: skip
_STAGES: Final = {str(place): (stage, _COLOURS[stage]) for place, stage in enumerate(STORY_STAGES, 1)}
_STORY_LINKS: Final = (ApiLink("Stories and their stages", path="/api/stories"), Link("Events", View.EVENTS))
_TASK_LINKS: Final = (ApiLink("Tasks and their stages", path="/api/fleet/tasks"), Link("Who works on them", View.AGENTS))
_AGENTS: Final = Link("Who works on them", View.AGENTS)

_stories = Staged(
    "stories", STORIES, STORY_STAGES, _STORY_LINKS, [Column(stage, colour=colour) for stage, colour in _COLOURS.items()]
)
_tasks = Staged("tasks", TASKS, tuple(TASK_MOVES), _TASK_LINKS)


def _at_work(metrics: StageMetrics, ended: str) -> Query:
    return shown(metrics.now, stage=unlike(ended)).sum() | shown(metrics.now).sum() * 0


def _journey() -> Logs:
    """The place of each story's stage, where it changes; some services call it a state, some a phase."""
    places = [f'eq .stage "{stage}"}}}}{place}' for place, stage in enumerate(STORY_STAGES, 1)]
    place = f"{{{{if {'{{else if '.join(places)}{{{{end}}}}"
    return Logs(
        f'last_over_time({{family=~".+"}} | type=~"{"|".join(sorted(STORY_MOVES))}" | story=~"$story"'
        ' | json to_state="to_state", to_phase="to_phase", to="to"'
        " | label_format stage=`{{upper (or .to_state .to_phase .to)}}`"
        f' | label_format place=`{place}` | place!="" | unwrap place | __error__="" [$__auto]) by (story)',
        "{{story}}",
    )


_finished = shown(STORIES.moves, to_stage=_DONE).increase(RANGE).sum()
_lead = shown(STORIES.seconds).part("_sum").increase(RANGE).sum().share_of(_finished)

DASHBOARD = Dashboard(
    view=View.STORIES,
    title="Stories and tasks",
    description="Where stories and tasks are, what is stuck, how long they take, and what became of one story.",
    variables=[
        variables.text_box("story", "Story", "A story's id, or a regular expression of ids; .+ is every story.", ".+"),
        variables.EXPORTER_URL,
    ],
    annotations=[alert_marks("fleet"), STORY_MARKS],
    rows=[
        Row(
            "",
            [
                *source_health("fleet", "The fleet's events", width=3),
                stat(
                    "Stories at work",
                    f"Stories that are not {_DONE} (fleet_stories).",
                    Line(_at_work(STORIES, _DONE)),
                    width=3, decimals=0, sparkline=True, links=_STORY_LINKS,
                ),
                stat(
                    "Oldest in its stage",
                    f"How long the story that has not moved for longest has been in its stage, {_DONE} left out "
                    "(fleet_story_oldest_in_stage_timestamp_seconds).",
                    Line(shown(STORIES.oldest, stage=is_not(_DONE)).age().max()),
                    unit="s", width=3, links=_STORY_LINKS,
                ),
                stat(
                    "Done",
                    f"Stories that came to {_DONE} in the time shown (fleet_story_transitions_total).",
                    Line(_finished | shown(STORIES.moves).increase(RANGE).sum() * 0),
                    width=3, decimals=0, base=OK, links=_STORY_LINKS,
                ),
                stat(
                    "Lead time",
                    "Mean time of a story from its first stage to its last: the time spent in the stages that stories left "
                    "in the time shown, over the stories done in it (fleet_story_stage_duration_seconds). True where as "
                    "many begin as end; no data where none was done.",
                    Line(_lead),
                    unit="s", width=3, links=_STORY_LINKS,
                ),
                stat(
                    "Tasks at work",
                    "Tasks that are in no last stage: done, cancelled, completed, failed (fleet_tasks).",
                    Line(_at_work(TASKS, _ENDED)),
                    width=3, decimals=0, sparkline=True, links=_TASK_LINKS,
                ),
                stat(
                    "Illegal moves",
                    "Moves of stories and tasks in the time shown that the rules of their stages do not know "
                    "(fleet_story_illegal_transitions_total, fleet_task_illegal_transitions_total).",
                    Line(shown(STORIES.illegal).increase(RANGE).sum() + shown(TASKS.illegal).increase(RANGE).sum()),
                    width=3, decimals=0, limits=[Limit(1, BAD)], links=[Link("Events", View.EVENTS)],
                ),
                _stories.table(width=12, height=9),
                _stories.over_time(width=12, height=9),
                _tasks.table(width=12, height=9),
                _tasks.over_time(width=12, height=9),
            ],
        ),
        Row(
            "One story",
            [
                timeline(
                    "Stories through their stages",
                    "Each story's stage from the moment it came to it, by its events in Loki; the variable Story chooses.",
                    _journey(),
                    states=_STAGES,
                    width=24, height=10,
                    links=[
                        ApiLink("Its whole timeline", path="/api/stories/{story}"),
                        Link("Only this story", View.STORIES, {"story": "story"}),
                        Link("Its events, as they come", View.EVENTS, {"story": "story"}),
                    ],
                ),
                logs(
                    "From end to end",
                    "All that happened to the stories chosen, from Loki: stages, plans, tasks, deliberations and answers.",
                    events('family=~".+"', 'story=~"$story"'),
                    width=24,
                ),
            ],
        ),
        Row(
            "Moves of stories",
            [
                _stories.moves(width=12, height=12),
                graph(
                    "Stories done and begun",
                    f"Stories that left {STORY_STAGES[0]} and that came to {_DONE} in each step "
                    "(fleet_story_transitions_total).",
                    Line(shown(STORIES.moves, from_stage=STORY_STAGES[0]).increase(RATE).sum(), "begun"),
                    Line(shown(STORIES.moves, to_stage=_DONE).increase(RATE).sum(), "done"),
                    unit="short", bars=True, calcs=["sum"], width=12, height=12, links=_STORY_LINKS,
                    columns=[Column("begun", colour=ACCENT), Column("done", colour=OK)],
                ),
                _stories.moved(),
                _stories.stays(),
                _stories.stays_heat(),
            ],
        ),
        Row(
            "Moves of tasks",
            [
                _tasks.moves(width=12, height=12),
                graph(
                    "Illegal moves",
                    "Moves in each step that the rules do not know (fleet_story_illegal_transitions_total, "
                    "fleet_task_illegal_transitions_total).",
                    Line(shown(STORIES.illegal).increase(RATE).sum(), "stories"),
                    Line(shown(TASKS.illegal).increase(RATE).sum(), "tasks"),
                    unit="short", bars=True, calcs=["sum"], width=12, height=12, links=[Link("Events", View.EVENTS)],
                ),
                _tasks.moved(),
                _tasks.stays(),
                _tasks.stays_heat(),
            ],
            collapsed=True,
        ),
    ],
)  # fmt: skip
