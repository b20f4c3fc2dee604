"""promtool's unit tests as a function: which alerts fire after some series, and as Alertmanager gets them."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from alerts.files import rules_file
from alerts.rule import AlertingRule
from alerts.rules import RECORDINGS

Given = Mapping[str, str]
"""Series and their values, one for each interval, in promtool's notation."""

_ALERT = re.compile(r"Labels:\{(.*)\}\n\s*Annotations:\{(.*)\}")
_PAIR = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*")')


@dataclass(frozen=True)
class Trial:
    """One rule, its input series with a value per `interval`, and the evaluation time."""

    rule: AlertingRule
    given: Given
    interval: str = "1m"
    until: str = "2h"


@dataclass(frozen=True)
class Alert:
    """A firing alert as Alertmanager would get it."""

    labels: dict[str, str]
    annotations: dict[str, str]


def fired(promtool: Path, folder: Path, trials: Mapping[str, Trial]) -> dict[str, list[Alert]]:
    """The alerts of each trial that fire at its end. Each has a separate rule file, so a trial does not evaluate all rules.

    promtool is configured to expect none; its error lists the firing alerts.
    """
    files = {}
    for number, (name, trial) in enumerate(trials.items()):
        rules, test = folder / f"{number}-rules.yaml", folder / f"{number}.yaml"
        recordings = [recording for recording in RECORDINGS if recording.name in trial.rule.expression]
        rules.write_text(rules_file([trial.rule], recordings))
        expected = {"eval_time": trial.until, "alertname": trial.rule.name, "exp_alerts": []}
        inputs = [{"series": one, "values": values} for one, values in trial.given.items()]
        document = {
            "rule_files": [str(rules)],
            "evaluation_interval": trial.interval,
            "tests": [{"interval": trial.interval, "input_series": inputs, "alert_rule_test": [expected]}],
        }
        test.write_text(yaml.safe_dump(document))
        files[str(test)] = name
    done = subprocess.run(
        [promtool, "test", "rules", *files], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    found = {}
    for section in done.stdout.split("Unit Testing:")[1:]:
        file, _, rest = section.strip().partition("\n")
        alerts = [Alert(_pairs(labels), _pairs(annotations)) for labels, annotations in _ALERT.findall(rest)]
        assert alerts or "SUCCESS" in rest, f"{files[file]}: {rest}"
        found[files[file]] = alerts
    assert found.keys() == trials.keys(), done.stdout
    return found


def complaints(promtool: Path, folder: Path, rules: Path, given: Given) -> str:
    """Output of promtool after it evaluated the rule file over these series for ten minutes; empty on success."""
    test = folder / "whole.yaml"
    asked = [{"expr": "vector(1)", "eval_time": "10m", "exp_samples": [{"labels": "{}", "value": 1}]}]
    inputs = [{"series": one, "values": values} for one, values in given.items()]
    tests = [{"interval": "1m", "input_series": inputs, "promql_expr_test": asked}]
    test.write_text(yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": tests}))
    done = subprocess.run([promtool, "test", "rules", test], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _pairs(text: str) -> dict[str, str]:
    return {name: ast.literal_eval(value) for name, value in _PAIR.findall(text)}
