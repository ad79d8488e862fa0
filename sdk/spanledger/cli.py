"""The ``spanledger`` command: finds subcommands by the entry-point group ``spanledger.commands``."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points, version

GROUP = "spanledger.commands"


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand and return its exit code; 2 for a usage error."""
    args = sys.argv[1:] if argv is None else argv
    commands = {point.name: point for point in entry_points(group=GROUP)}
    if args[:1] == ["--version"]:
        print(f"spanledger {version('spanledger')}")
        return 0
    if not args or args[0] in ("-h", "--help"):
        print(_usage(commands))
        return 0 if args else 2
    point = commands.get(args[0])
    if point is None:
        print(f"spanledger: there is no command {args[0]!r}\n{_usage(commands)}", file=sys.stderr)
        return 2
    try:
        command = point.load()
    except ModuleNotFoundError as missing:
        print(
            f"spanledger {args[0]}: {missing.name} is not installed; "
            f"install the role with: pip install 'spanledger-server[all]'",
            file=sys.stderr,
        )
        return 2
    return int(command(args[1:]))


def _usage(commands: dict[str, EntryPoint]) -> str:
    names = "\n".join(f"  {name}" for name in sorted(commands))
    return f"usage: spanledger COMMAND [options]   (spanledger COMMAND --help)\n\ncommands:\n{names}"
