"""Names that are there: the projects, and the teams, models and providers of one, oldest first, so that each
keeps its colour."""

from __future__ import annotations

from .asking import Client, ask

_FIRST_SEEN: dict[str, str] = {
    column: f"""
SELECT {column} AS value FROM cost_day WHERE project = {{project:String}}
GROUP BY value ORDER BY min(day), value LIMIT 500
"""  # noqa: S608
    for column in ("team", "model", "provider")
}


def names(client: Client, project: str, column: str) -> list[str]:
    """Values of ``team``, ``model`` or ``provider`` by first day of use. Raises KeyError for another column."""
    return [str(row["value"]) for row in ask(client, _FIRST_SEEN[column], {"project": project})]


def projects(client: Client) -> list[str]:
    """Every project that has calls, events or documents, but ``*``. For keys that may see them all."""
    sql = """
SELECT DISTINCT project FROM (
    SELECT project FROM cost_day UNION ALL SELECT project FROM registry UNION ALL SELECT project FROM events
) WHERE project NOT IN ('', '*') ORDER BY project LIMIT 1000
"""
    return [str(row["project"]) for row in ask(client, sql, {})]
