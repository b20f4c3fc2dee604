"""`python -m exporter.reference.chart_schema`: print the JSON Schema of the Helm chart's values.

The chart's own values are declared here; `config` has the exporter's options, except secrets and the options that the chart
sets. Unknown keys are rejected before anything is installed.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from exporter.reference import configuration_schema
from exporter.settings import Option, options

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_SWITCH: Schema = {"type": "boolean"}
_NAME: Schema = {"type": "string", "pattern": "^$|^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"}
_WORDS: Schema = {"type": "array", "items": _TEXT, "uniqueItems": True}
_TEXTS: Schema = {"type": "object", "additionalProperties": _TEXT}
"""Labels and annotations."""
_DURATION: Schema = {"type": "string", "pattern": "^$|^([0-9]+(ms|[smhdwy]))+$"}
_PORT: Schema = {"type": "integer", "minimum": 1, "maximum": 65535}
_KUBERNETES: Schema = {"type": "object"}
"""Defined by Kubernetes and validated by its API server."""
_KUBERNETES_LIST: Schema = {"type": "array", "items": _KUBERNETES}
_PROBE: Schema = {"type": ["object", "null"]}
"""null removes the probe."""
_NAMES_OR_OBJECTS: Schema = {"type": "array", "items": {"type": ["string", "object"]}}
_COUNT_OR_PERCENTAGE: Schema = {"type": ["integer", "string"], "minimum": 0, "pattern": "^$|^[0-9]+%$"}

_DECIDED_BY_THE_CHART = frozenset({"web.listen_address", "web.config_file"})
_FOR_OTHER_READERS = frozenset({"default", "title", "env", "flag", "format", "writeOnly"})


def _group(**properties: Schema) -> Schema:
    """A mapping of these keys and no others."""
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _whole(at_least: int) -> Schema:
    return {"type": "integer", "minimum": at_least}


def _one_of(*words: str) -> Schema:
    return {"type": "string", "enum": list(words)}


def _holds_secret(option: Option, schema: Schema) -> bool:
    """Whether the option's value is a secret, or an address that may hold one."""
    return option.flag is None or '"writeOnly": true' in json.dumps(schema)


def _pruned(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_pruned(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    # Under `properties` the keys are options: one that is called `default` would be no keyword.
    return {
        name: {key: _pruned(value) for key, value in part.items()} if name == "properties" else _pruned(part)
        for name, part in schema.items()
        if name not in _FOR_OTHER_READERS
    }


def _configuration() -> tuple[Schema, Schema, list[str]]:
    """The schema of `config`, the definitions it refers to, and the variables that may come from Secrets."""
    whole = configuration_schema()
    definitions: Schema = whole["$defs"]
    variables: set[str] = set()
    for option in options():
        if not option.group:  # which part of the fleet is shown follows from how many shards the chart makes
            del whole["properties"][option.name]
            continue
        group = definitions[whole["properties"][option.group]["$ref"].rpartition("/")[2]]["properties"]
        secret = _holds_secret(option, group[option.name])
        if secret or option.well_known_variable:
            variables |= {option.variable} | ({option.well_known_variable} if option.well_known_variable else set())
        if option.flag is None or option.path in _DECIDED_BY_THE_CHART:
            del group[option.name]
    return _pruned(_without(whole, "$schema", "$defs")), _pruned(definitions), sorted(variables)


def _without(schema: Schema, *names: str) -> Schema:
    return {name: part for name, part in schema.items() if name not in names}


def _pod() -> Schema:
    return {
        "shards": _whole(1),
        "strategy": _KUBERNETES,
        "deploymentAnnotations": _TEXTS,
        "revisionHistoryLimit": _whole(0),
        "terminationGracePeriodSeconds": _whole(1),
        "podLabels": _TEXTS,
        "podAnnotations": _TEXTS,
        "podSecurityContext": _KUBERNETES,
        "securityContext": _KUBERNETES,
        "resources": _KUBERNETES,
        "livenessProbe": _PROBE,
        "readinessProbe": _PROBE,
        "startupProbe": _PROBE,
        "lifecycle": _KUBERNETES,
        "extraVolumes": _KUBERNETES_LIST,
        "extraVolumeMounts": _KUBERNETES_LIST,
        "initContainers": _KUBERNETES_LIST,
        "sidecars": _KUBERNETES_LIST,
        "hostAliases": _KUBERNETES_LIST,
        "dnsPolicy": _one_of("", "ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
        "dnsConfig": _KUBERNETES,
        "nodeSelector": _TEXTS,
        "tolerations": _KUBERNETES_LIST,
        "affinity": _KUBERNETES,
        "topologySpreadConstraints": _KUBERNETES_LIST,
        "priorityClassName": _NAME,
        "runtimeClassName": _NAME,
    }


def _network() -> Schema:
    path = {**_group(path=_TEXT, pathType=_one_of("Exact", "ImplementationSpecific", "Prefix")), "required": ["path"]}
    return {
        "service": _group(
            type=_one_of("ClusterIP", "NodePort", "LoadBalancer"),
            port=_PORT,
            nodePort={"type": "integer", "minimum": 0, "maximum": 65535},
            clusterIP=_TEXT,
            loadBalancerIP=_TEXT,
            loadBalancerSourceRanges=_WORDS,
            externalTrafficPolicy=_one_of("", "Cluster", "Local"),
            labels=_TEXTS,
            annotations=_TEXTS,
        ),
        "ingress": _group(
            enabled=_SWITCH,
            className=_NAME,
            labels=_TEXTS,
            annotations=_TEXTS,
            hosts={"type": "array", "items": _group(host=_TEXT, paths={"type": "array", "items": path}), "minItems": 1},
            tls={"type": "array", "items": _group(secretName=_NAME, hosts=_WORDS)},
        ),
        "networkPolicy": _group(
            enabled=_SWITCH,
            prometheus=_KUBERNETES_LIST,
            kubernetesApi=_group(cidrs=_WORDS, ports={"type": "array", "items": _PORT, "minItems": 1}),
            egress=_KUBERNETES_LIST,
        ),
    }


def _custom_resources() -> Schema:
    common = {"enabled": _SWITCH, "namespace": _NAME, "annotations": _TEXTS}
    selected = {**common, "additionalLabels": _TEXTS}
    return {
        "serviceMonitor": _group(
            **selected,
            interval=_DURATION,
            scrapeTimeout=_DURATION,
            job={"type": "string", "pattern": "fleet-exporter"},
            honorLabels=_SWITCH,
            targetLabels=_WORDS,
            podTargetLabels=_WORDS,
            tlsConfig=_KUBERNETES,
            basicAuth=_KUBERNETES,
            relabelings=_KUBERNETES_LIST,
            metricRelabelings=_KUBERNETES_LIST,
            sampleLimit=_whole(0),
        ),
        "prometheusRule": _group(
            **selected,
            grafanaUrl=_TEXT,
            runbookUrl=_TEXT,
            disabledGroups=_WORDS,
            disabledAlerts=_WORDS,
            alertLabels=_TEXTS,
        ),
        "dashboards": _group(**common, labels=_TEXTS, folder=_TEXT, loki=_SWITCH, exporterUrl=_TEXT, disabled=_WORDS),
        "alertmanagerConfig": _group(
            **selected, existingSecret=_NAME, criticalChannel=_TEXT, warningChannel=_TEXT, heartbeat=_SWITCH
        ),
    }


def chart_schema() -> Schema:
    """JSON Schema (2020-12) of the chart's values."""
    config, definitions, variables = _configuration()
    definitions["KeyOfSecret"] = {**_group(name=_NAME, key=_TEXT, optional=_SWITCH), "required": ["name", "key"]}
    properties = {
        "global": {
            "type": "object",
            "description": "Values that a parent chart shares with its subcharts.",
            "properties": {"imageRegistry": _TEXT, "imagePullSecrets": _NAMES_OR_OBJECTS},
        },
        "enabled": {"type": "boolean", "description": "The condition of a parent chart; not used here."},
        "nameOverride": _NAME,
        "fullnameOverride": _NAME,
        "namespaceOverride": _NAME,
        "commonLabels": _TEXTS,
        "image": _group(
            registry=_TEXT,
            repository=_TEXT,
            tag=_TEXT,
            digest=_TEXT,
            pullPolicy=_one_of("Always", "IfNotPresent", "Never"),
        ),
        "imagePullSecrets": _KUBERNETES_LIST,
        "config": config,
        "existingSecret": _NAME,
        "secretEnv": _group(**{name: {"$ref": "#/$defs/KeyOfSecret"} for name in variables}),
        "extraEnv": _KUBERNETES_LIST,
        "extraEnvFrom": _KUBERNETES_LIST,
        "extraArgs": {"type": "array", "items": _TEXT},
        "web": _group(existingSecret=_NAME, scheme=_one_of("http", "https"), authenticated=_SWITCH),
        "serviceAccount": _group(create=_SWITCH, name=_NAME, annotations=_TEXTS),
        "rbac": _group(create=_SWITCH),
        **_network(),
        **_pod(),
        **_custom_resources(),
        "podDisruptionBudget": _group(
            enabled=_SWITCH, minAvailable=_COUNT_OR_PERCENTAGE, maxUnavailable=_COUNT_OR_PERCENTAGE
        ),
        "extraObjects": _NAMES_OR_OBJECTS,
        "tests": _group(enabled=_SWITCH),
    }
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Values of the chart fleet-exporter"}
    return {**head, **_group(**properties), "$defs": definitions}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(chart_schema(), indent=2) + "\n")
