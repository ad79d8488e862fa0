"""An alert in; the JSON body that Prometheus's Alertmanager would post to a webhook (version 4), out."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from spanledger_collector.store.reads.alerting import PendingAlert

_NEVER = "0001-01-01T00:00:00Z"


def payload(alert: PendingAlert, receiver: str) -> bytes:
    """One alert as a group of its own. Labels tell what it is about, annotations what happened."""
    resolved = alert.state == "resolved"
    status = "resolved" if resolved else "firing"
    labels = {
        "alertname": alert.subject,
        "project": alert.project,
        "severity": alert.severity,
        "dedup_key": alert.dedup_key or alert.event_id,
    }
    annotations = {"summary": alert.title, "description": alert.message}
    moment = datetime.fromtimestamp(alert.time / 1e9, UTC).isoformat(timespec="milliseconds")
    one = {
        "status": status,
        "labels": labels,
        "annotations": annotations,
        "startsAt": moment,
        "endsAt": moment if resolved else _NEVER,
        "generatorURL": "",
        "fingerprint": alert.event_id,
    }
    body = {
        "version": "4",
        "groupKey": f'{{}}:{{dedup_key="{labels["dedup_key"]}"}}',
        "truncatedAlerts": 0,
        "status": status,
        "receiver": receiver,
        "groupLabels": {"dedup_key": labels["dedup_key"]},
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": "",
        "alerts": [one],
    }
    return json.dumps(body, ensure_ascii=False, sort_keys=True).encode()
