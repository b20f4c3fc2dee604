"""The same configuration as an AlertmanagerConfig of the Prometheus Operator (monitoring.coreos.com/v1alpha1).

The resource has no template files, so each text includes the definitions it uses. It applies to alerts of its namespace
only, unless the Alertmanager sets `alertmanagerConfigMatcherStrategy`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from alerts.alertmanager.inhibition import inhibit_rules
from alerts.alertmanager.options import NAME, TEMPLATES, Secret, SiteOptions
from alerts.alertmanager.receivers import receivers
from alerts.alertmanager.routes import fleet_route, time_intervals
from alerts.rules import RULES

_MATCHER: Final = re.compile(r'(?P<name>\w+)(?P<matchType>=~|!~|!=|=)"(?P<value>.*)"')
_USE: Final = re.compile(r'\{\{-? template "([\w.]+)"')


def resource(options: SiteOptions) -> dict[str, Any]:
    """The manifest, without a namespace; deploy it in the namespace of the exporter's alerts."""
    options = replace(options, preview=False)  # the resource has no `messageText`
    definitions = _definitions()
    spec: dict[str, Any] = {
        "route": _route(fleet_route(options)),
        "inhibitRules": [_inhibit_rule(rule) for rule in inhibit_rules(options, RULES)],
        "receivers": [_receiver(receiver, definitions) for receiver in receivers(options)],
    }
    if intervals := time_intervals(options):
        spec["muteTimeIntervals"] = [_camel(interval) for interval in intervals]  # the field also holds active intervals
    return {
        "apiVersion": "monitoring.coreos.com/v1alpha1",
        "kind": "AlertmanagerConfig",
        "metadata": {"name": NAME, "labels": {"app.kubernetes.io/name": "fleet-exporter"}},
        "spec": spec,
    }


def _definitions() -> dict[str, str]:
    """Template definitions by name, as text; each must start at the beginning of a line."""
    found = {}
    for file in TEMPLATES:
        for part in re.split(r"^(?=\{\{ ?(?:define|/\*))", (Path(__file__).parent / file).read_text(), flags=re.MULTILINE):
            if name := re.match(r'\{\{ define "([\w.]+)"', part):
                found[name[1]] = part.strip()
    return found


def _whole(text: str, definitions: dict[str, str]) -> str:
    """A text, preceded by all definitions that it uses, directly or indirectly."""
    needed: dict[str, None] = {}
    ahead = _USE.findall(text)
    while ahead:
        name = ahead.pop()
        if name not in needed:
            needed[name] = None
            ahead += _USE.findall(definitions[name])
    return "\n".join([*(definitions[name] for name in sorted(needed)), text]) if needed else text


def _receiver(receiver: dict[str, Any], definitions: dict[str, str]) -> dict[str, Any]:
    """Receiver with secrets as references by name and key, and definitions included in the texts."""
    document: dict[str, Any] = {"name": receiver["name"]}
    for kind in ("slack_configs", "email_configs", "webhook_configs"):
        for config in receiver.get(kind, ()):
            config = _inlined(config, definitions)
            for file, key in (("api_url_file", "apiURL"), ("url_file", "urlSecret"), ("auth_password_file", "authPassword")):
                if path := config.pop(file, None):
                    config[key] = {"name": NAME, "key": str(Secret(Path(path).name))}
            if headers := config.pop("headers", None):
                config["headers"] = [{"key": key, "value": value} for key, value in headers.items()]
            document.setdefault(_word(kind), []).append(_camel(config))
    return document


def _inlined(value: Any, definitions: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _inlined(part, definitions) for key, part in value.items()}
    if isinstance(value, list):
        return [_inlined(part, definitions) for part in value]
    return _whole(value, definitions) if isinstance(value, str) else value


def _route(route: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = _camel(route)
    document["matchers"] = _matchers(route["matchers"])
    if "routes" in route:
        document["routes"] = [_route(child) for child in route["routes"]]
    return document


def _inhibit_rule(rule: dict[str, Any]) -> dict[str, Any]:
    return {
        "sourceMatch": _matchers(rule["source_matchers"]),
        "targetMatch": _matchers(rule["target_matchers"]),
        "equal": rule["equal"],
    }


def _matchers(written: list[str]) -> list[dict[str, str]]:
    found = [_MATCHER.fullmatch(matcher) for matcher in written]
    assert all(found), written
    return [match.groupdict() for match in found if match]


def _camel(value: Any) -> Any:
    """The value with all keys in camelCase."""
    if isinstance(value, dict):
        return {_word(key): _camel(part) for key, part in value.items()}
    return [_camel(part) for part in value] if isinstance(value, list) else value


def _word(key: str) -> str:
    return re.sub(r"_(\w)", lambda letter: letter[1].upper(), key)
