"""Pages drawn over HTTP without a browser: what the router would send for an address."""

from __future__ import annotations

import json
from typing import Any

from dash.development.base_component import Component

from tests.dashboards.conftest import Dashboard

OUTPUT = ".._pages_content.children..._pages_store.data.."


def draw(dashboard: Dashboard, cookie: str, path: str, search: str = "") -> tuple[int, str]:
    """Status and body of the router's answer; the body holds the whole content of the page."""
    body: dict[str, Any] = {
        "output": OUTPUT,
        "outputs": [
            {"id": "_pages_content", "property": "children"},
            {"id": "_pages_store", "property": "data"},
        ],
        "inputs": [
            {"id": "_pages_location", "property": "pathname", "value": path},
            {"id": "_pages_location", "property": "search", "value": search},
        ],
        "changedPropIds": ["_pages_location.pathname"],
    }
    headers = {"content-type": "application/json"}
    answer = dashboard.get("/_dash-update-component", cookie, "POST", headers, json.dumps(body))
    return answer.status, answer.body


def sent(part: Component) -> Any:
    """A component as a browser receives it."""
    return json.loads(json.dumps(part, default=lambda each: each.to_plotly_json()))
