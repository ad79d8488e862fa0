"""SQL that asks for or kills running statements in; the same in terms of the ids clients know out. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from .statement import Statement, tokens


@dataclass(frozen=True, slots=True)
class Kill:
    """``KILL QUERY WHERE condition``; ``mode`` is SYNC, ASYNC or TEST."""

    condition: str
    mode: str


def read_kill(statement: Statement) -> Kill | None:
    """The parts of a KILL QUERY on this server; None for anything else."""
    if statement.verb != "KILL":
        return None
    sql = statement.sql_without_format()
    words = [token for token in tokens(sql) if token.lastgroup == "word"]
    names = [word.group().upper() for word in words]
    if names[1:3] != ["QUERY", "WHERE"]:
        return None
    mode, end = "ASYNC", len(sql)
    if names[-1] in ("SYNC", "ASYNC", "TEST"):
        mode, end = names[-1], words[-1].start()
    return Kill(sql[words[2].end() : end].strip(), mode)


def names_processes(statement: Statement) -> bool:
    """Whether a statement may read the list of running statements."""
    return "process" in statement.sql.lower() and statement.verb in ("SELECT", "WITH", "(", "SHOW")


def with_processes(statement: Statement, subquery: str) -> str:
    """The SQL with ``system.processes`` replaced by ``subquery``; SHOW PROCESSLIST becomes a SELECT."""
    found = list(tokens(statement.sql))
    names = [token.group().strip('`"').lower() for token in found]
    if [name for name in names if name != "full"][:2] == ["show", "processlist"]:
        tail = statement.sql[statement.format_at :] if statement.format_at >= 0 else ""
        return f"SELECT * FROM {subquery} ORDER BY elapsed DESC {tail}"  # noqa: S608
    sql, at = "", 0
    for index, name in enumerate(names):
        if name == "processes" and names[index - 2 : index] == ["system", "."]:
            after = names[index + 1] if index + 1 < len(names) else ""
            if after == ".":  # a column qualified by its table
                continue
            sql += statement.sql[at : found[index - 2].start()] + subquery
            at = found[index].end()
    return sql + statement.sql[at:]
