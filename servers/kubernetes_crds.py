"""Minimal custom resource definitions: four of KubeRay, and three of the Prometheus Operator.

KubeRay's accept any spec and status. The operator's have the fields that this project writes and a few more, so a server
with strict validation rejects a misspelled field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GROUP = "ray.io"
KINDS = {"rayjobs": "RayJob", "rayclusters": "RayCluster", "rayservices": "RayService", "raycronjobs": "RayCronJob"}
MONITORING_GROUP = "monitoring.coreos.com"

Schema = dict[str, Any]

_ANY: Schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_TEXT: Schema = {"type": "string"}
_SWITCH: Schema = {"type": "boolean"}
_WHOLE: Schema = {"type": "integer", "format": "int64", "minimum": 0}
_TEXTS: Schema = {"type": "object", "additionalProperties": _TEXT}
_DURATION: Schema = {
    "type": "string",
    "pattern": r"^(0|(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?(([0-9]+)ms)?)$",
}


def _object(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties} | ({"required": list(required)} if required else {})


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _definition(group: str, version: str, plural: str, kind: str, properties: Mapping[str, Schema]) -> dict[str, Any]:
    schema = {"openAPIV3Schema": {"type": "object", "properties": dict(properties)}}
    served = {"name": version, "served": True, "storage": True, "schema": schema}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"},
            "versions": [served | ({"subresources": {"status": {}}} if "status" in properties else {})],
        },
    }


def ray_crds(version: str = "v1") -> list[dict[str, Any]]:
    """apiextensions.k8s.io/v1 objects for KubeRay's kinds, in that version alone, with a status subresource."""
    return [_definition(GROUP, version, plural, kind, {"spec": _ANY, "status": _ANY}) for plural, kind in KINDS.items()]


_KEY_OF_SECRET = _object(("key",), name=_TEXT, key=_TEXT, optional=_SWITCH)
_RELABELING = _object(
    sourceLabels=_list(_TEXT), separator=_TEXT, targetLabel=_TEXT, regex=_TEXT, replacement=_TEXT, action=_TEXT,
    modulus=_WHOLE,
)  # fmt: skip

_SERVICE_MONITOR = _object(
    ("endpoints", "selector"),
    jobLabel=_TEXT,
    targetLabels=_list(_TEXT),
    podTargetLabels=_list(_TEXT),
    sampleLimit=_WHOLE,
    selector=_object(matchLabels=_TEXTS, matchExpressions=_list(_ANY)),
    namespaceSelector=_object(any=_SWITCH, matchNames=_list(_TEXT)),
    endpoints=_list(
        _object(
            port=_TEXT,
            path=_TEXT,
            scheme={"type": "string", "enum": ["http", "https"]},
            interval=_DURATION,
            scrapeTimeout=_DURATION,
            honorLabels=_SWITCH,
            honorTimestamps=_SWITCH,
            tlsConfig=_object(
                ca=_ANY, cert=_ANY, keySecret=_KEY_OF_SECRET, caFile=_TEXT, certFile=_TEXT, keyFile=_TEXT,
                serverName=_TEXT, insecureSkipVerify=_SWITCH,
            ),
            basicAuth=_object(username=_KEY_OF_SECRET, password=_KEY_OF_SECRET),
            relabelings=_list(_RELABELING),
            metricRelabelings=_list(_RELABELING),
        )
    ),
)  # fmt: skip

_RULE = _object(
    ("expr",),
    alert=_TEXT,
    record=_TEXT,
    expr={"x-kubernetes-int-or-string": True},
    labels=_TEXTS,
    annotations=_TEXTS,
    keep_firing_for=_DURATION,
    **{"for": _DURATION},
)
_PROMETHEUS_RULE = _object(
    groups=_list(_object(("name",), name=_TEXT, interval=_DURATION, limit=_WHOLE, labels=_TEXTS, rules=_list(_RULE)))
)

_MATCHER = _object(
    ("name",), name=_TEXT, value=_TEXT, matchType={"type": "string", "enum": ["=", "!=", "=~", "!~"]}
)  # fmt: skip
_ROUTE: dict[str, Schema] = {
    "receiver": _TEXT,
    "matchers": _list(_MATCHER),
    "groupBy": _list(_TEXT),
    "groupWait": _DURATION,
    "groupInterval": _DURATION,
    "repeatInterval": _DURATION,
    "continue": _SWITCH,
    "muteTimeIntervals": _list(_TEXT),
    "activeTimeIntervals": _list(_TEXT),
}
_BRANCH = _object(("receiver",), **_ROUTE)
_SLACK = _object(
    apiURL=_KEY_OF_SECRET, sendResolved=_SWITCH, channel=_TEXT, username=_TEXT, color=_TEXT, title=_TEXT, titleLink=_TEXT,
    pretext=_TEXT, text=_TEXT, fallback=_TEXT, footer=_TEXT, shortFields=_SWITCH, callbackId=_TEXT, iconEmoji=_TEXT,
    iconURL=_TEXT, imageURL=_TEXT, thumbURL=_TEXT, linkNames=_SWITCH, mrkdwnIn=_list(_TEXT),
    fields=_list(_object(("title", "value"), title=_TEXT, value=_TEXT, short=_SWITCH)),
    actions=_list(_object(("type", "text"), type=_TEXT, text=_TEXT, url=_TEXT, style=_TEXT, name=_TEXT, value=_TEXT)),
)  # fmt: skip
_EMAIL = {"authPassword": _KEY_OF_SECRET} | dict.fromkeys(("to", "from", "smarthost", "authUsername", "html"), _TEXT)
_ALERTMANAGER_CONFIG = _object(
    # The operator's own definition leaves routes below the first free: a structural schema cannot hold itself.
    route=_object(("receiver",), **_ROUTE, routes=_list(_object(("receiver",), **_ROUTE, routes=_list(_BRANCH)))),
    receivers=_list(
        _object(
            ("name",),
            name=_TEXT,
            slackConfigs=_list(_SLACK),
            webhookConfigs=_list(
                _object(url=_TEXT, urlSecret=_KEY_OF_SECRET, sendResolved=_SWITCH, maxAlerts=_WHOLE, timeout=_DURATION)
            ),
            emailConfigs=_list(
                _object((), **_EMAIL, text=_TEXT, sendResolved=_SWITCH, headers=_list(_object(key=_TEXT, value=_TEXT)))
            ),
        )
    ),
    inhibitRules=_list(_object(sourceMatch=_list(_MATCHER), targetMatch=_list(_MATCHER), equal=_list(_TEXT))),
    muteTimeIntervals=_list(_ANY),
)


def monitoring_crds() -> list[dict[str, Any]]:
    """apiextensions.k8s.io/v1 objects for ServiceMonitor and PrometheusRule v1, and AlertmanagerConfig v1alpha1."""
    return [
        _definition(MONITORING_GROUP, "v1", "servicemonitors", "ServiceMonitor", {"spec": _SERVICE_MONITOR}),
        _definition(MONITORING_GROUP, "v1", "prometheusrules", "PrometheusRule", {"spec": _PROMETHEUS_RULE}),
        _definition(
            MONITORING_GROUP, "v1alpha1", "alertmanagerconfigs", "AlertmanagerConfig", {"spec": _ALERTMANAGER_CONFIG}
        ),
    ]
