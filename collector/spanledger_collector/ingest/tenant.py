"""A resource's attributes and the key's tenant in; the columns that every span and event of it shares out."""

from __future__ import annotations

from .attributes import Value, text
from .rows import Row, Tenancy

_COLUMNS = {
    "service.name": "service",
    "service.version": "service_version",
    "deployment.environment.name": "environment",
    "deployment.environment": "environment",
}


def resource_row(attributes: dict[str, Value], tenancy: Tenancy) -> Row:
    """The columns that a resource fills, for every span and event of it."""
    row: Row = {"project": tenancy.project, "key_id": tenancy.key_id}
    if tenancy.team:
        row["team"] = tenancy.team
    sdk, version = attributes.pop("telemetry.sdk.name", ""), attributes.pop("telemetry.sdk.version", "")
    if sdk:
        row["sdk"] = f"{text(sdk)}/{text(version)}"
    for name, column in _COLUMNS.items():
        if name in attributes:
            row.setdefault(column, text(attributes.pop(name)))
    for name in ("team", "feature", "customer_id"):  # said once for a whole application
        value = attributes.get(f"spanledger.{name}")
        if value and not row.get(name):
            row[name] = text(value)
    if attributes:
        row["resource"] = {name: text(value) for name, value in attributes.items()}
    return row


def set_tenant(facts: dict[str, Value], row: Row, tenancy: Tenancy) -> None:
    """What a payload may not decide, unless its key is trusted to: the project, the
    organisation, the key, and a key's own team.
    """
    told = facts.get("told.project")
    if tenancy.trusted and told:
        row["project"] = text(told)
        return
    row["key_id"] = tenancy.key_id
    row.pop("organisation", None)
    if tenancy.team:
        row["team"] = tenancy.team
