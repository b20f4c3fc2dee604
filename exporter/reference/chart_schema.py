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

_STRING: Schema = {"type": "string"}
_BOOLEAN: Schema = {"type": "boolean"}
_NAME: Schema = {"type": "string", "pattern": "^$|^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"}
_STRINGS: Schema = {"type": "array", "items": _STRING, "uniqueItems": True}
_STRING_MAP: Schema = {"type": "object", "additionalProperties": _STRING}
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

_SET_BY_THE_CHART = frozenset({"shard", "web.listen_address", "web.config_file"})
_UNUSED_KEYWORDS = frozenset({"default", "title", "env", "flag", "format", "writeOnly"})


def _group(**properties: Schema) -> Schema:
    """A mapping with exactly these keys."""
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _integer(at_least: int) -> Schema:
    return {"type": "integer", "minimum": at_least}


def _one_of(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def _holds_secret(option: Option, schema: Schema) -> bool:
    """Whether the option's value is a secret, or an address that can contain one."""
    return option.flag is None or '"writeOnly": true' in json.dumps(schema)


def _pruned(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_pruned(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    # Under `properties` the keys are options; an option named `default` is not a keyword.
    return {
        name: {key: _pruned(value) for key, value in part.items()} if name == "properties" else _pruned(part)
        for name, part in schema.items()
        if name not in _UNUSED_KEYWORDS
    }


def _configuration() -> tuple[Schema, Schema, list[str]]:
    """The schema of `config`, the definitions it refers to, and the variables that may come from Secrets."""
    schema = configuration_schema()
    definitions: Schema = schema["$defs"]
    variables: set[str] = set()
    for option in options():
        if not option.group:
            if option.path in _SET_BY_THE_CHART:  # the shard, from the number of shards
                del schema["properties"][option.name]
            continue
        group = definitions[schema["properties"][option.group]["$ref"].rpartition("/")[2]]["properties"]
        secret = _holds_secret(option, group[option.name])
        if secret or option.well_known_variable:
            variables |= {option.variable} | ({option.well_known_variable} if option.well_known_variable else set())
        if option.flag is None or option.path in _SET_BY_THE_CHART:
            del group[option.name]
    return _pruned(_without(schema, "$schema", "$defs")), _pruned(definitions), sorted(variables)


def _without(schema: Schema, *names: str) -> Schema:
    return {name: part for name, part in schema.items() if name not in names}


def _pod() -> Schema:
    return {
        "shards": _integer(1),
        "strategy": _KUBERNETES,
        "deploymentAnnotations": _STRING_MAP,
        "revisionHistoryLimit": _integer(0),
        "terminationGracePeriodSeconds": _integer(1),
        "podLabels": _STRING_MAP,
        "podAnnotations": _STRING_MAP,
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
        "nodeSelector": _STRING_MAP,
        "tolerations": _KUBERNETES_LIST,
        "affinity": _KUBERNETES,
        "topologySpreadConstraints": _KUBERNETES_LIST,
        "priorityClassName": _NAME,
        "runtimeClassName": _NAME,
    }


def _network() -> Schema:
    path = {**_group(path=_STRING, pathType=_one_of("Exact", "ImplementationSpecific", "Prefix")), "required": ["path"]}
    return {
        "service": _group(
            type=_one_of("ClusterIP", "NodePort", "LoadBalancer"),
            port=_PORT,
            nodePort={"type": "integer", "minimum": 0, "maximum": 65535},
            clusterIP=_STRING,
            loadBalancerIP=_STRING,
            loadBalancerSourceRanges=_STRINGS,
            externalTrafficPolicy=_one_of("", "Cluster", "Local"),
            labels=_STRING_MAP,
            annotations=_STRING_MAP,
        ),
        "ingress": _group(
            enabled=_BOOLEAN,
            className=_NAME,
            labels=_STRING_MAP,
            annotations=_STRING_MAP,
            hosts={"type": "array", "items": _group(host=_STRING, paths={"type": "array", "items": path}), "minItems": 1},
            tls={"type": "array", "items": _group(secretName=_NAME, hosts=_STRINGS)},
        ),
        "networkPolicy": _group(
            enabled=_BOOLEAN,
            ingressFrom=_KUBERNETES_LIST,
            kubernetesApi=_group(cidrs=_STRINGS, ports={"type": "array", "items": _PORT, "minItems": 1}),
            egress=_KUBERNETES_LIST,
        ),
    }


def _custom_resources() -> Schema:
    common = {"enabled": _BOOLEAN, "namespace": _NAME, "annotations": _STRING_MAP}
    selected = {**common, "additionalLabels": _STRING_MAP}
    return {
        "serviceMonitor": _group(
            **selected,
            interval=_DURATION,
            scrapeTimeout=_DURATION,
            job={"type": "string", "pattern": "fleet-exporter"},
            honorLabels=_BOOLEAN,
            targetLabels=_STRINGS,
            podTargetLabels=_STRINGS,
            tlsConfig=_KUBERNETES,
            basicAuth=_KUBERNETES,
            relabelings=_KUBERNETES_LIST,
            metricRelabelings=_KUBERNETES_LIST,
            sampleLimit=_integer(0),
        ),
        "prometheusRule": _group(
            **selected,
            grafanaUrl=_STRING,
            runbookUrl=_STRING,
            disabledGroups=_STRINGS,
            disabledAlerts=_STRINGS,
            alertLabels=_STRING_MAP,
        ),
        "dashboards": _group(
            **common, labels=_STRING_MAP, folder=_STRING, loki=_BOOLEAN, exporterUrl=_STRING, disabled=_STRINGS
        ),
        "alertmanagerConfig": _group(
            **selected, existingSecret=_NAME, criticalChannel=_STRING, warningChannel=_STRING, heartbeat=_BOOLEAN
        ),
    }


def chart_schema() -> Schema:
    """JSON Schema (2020-12) of the chart's values."""
    config, definitions, variables = _configuration()
    definitions["KeyOfSecret"] = {**_group(name=_NAME, key=_STRING, optional=_BOOLEAN), "required": ["name", "key"]}
    properties = {
        "global": {
            "type": "object",
            "description": "Values shared by a parent chart with its subcharts.",
            "properties": {"imageRegistry": _STRING, "imagePullSecrets": _NAMES_OR_OBJECTS},
        },
        "enabled": {"type": "boolean", "description": "The condition of a parent chart; not used here."},
        "nameOverride": _NAME,
        "fullnameOverride": _NAME,
        "namespaceOverride": _NAME,
        "commonLabels": _STRING_MAP,
        "image": _group(
            registry=_STRING,
            repository=_STRING,
            tag=_STRING,
            digest=_STRING,
            pullPolicy=_one_of("Always", "IfNotPresent", "Never"),
        ),
        "imagePullSecrets": _KUBERNETES_LIST,
        "config": config,
        "existingSecret": _NAME,
        "secretEnv": _group(**{name: {"$ref": "#/$defs/KeyOfSecret"} for name in variables}),
        "extraEnv": _KUBERNETES_LIST,
        "extraEnvFrom": _KUBERNETES_LIST,
        "extraArgs": {"type": "array", "items": _STRING},
        "web": _group(existingSecret=_NAME, scheme=_one_of("http", "https"), authenticated=_BOOLEAN),
        "serviceAccount": _group(create=_BOOLEAN, name=_NAME, annotations=_STRING_MAP),
        "rbac": _group(create=_BOOLEAN),
        **_network(),
        **_pod(),
        **_custom_resources(),
        "podDisruptionBudget": _group(
            enabled=_BOOLEAN, minAvailable=_COUNT_OR_PERCENTAGE, maxUnavailable=_COUNT_OR_PERCENTAGE
        ),
        "extraObjects": _NAMES_OR_OBJECTS,
        "tests": _group(enabled=_BOOLEAN),
    }
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Values of the chart fleet-exporter"}
    return {**head, **_group(**properties), "$defs": definitions}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(chart_schema(), indent=2) + "\n")
