"""`spanledger migrate`: bring the tables to this version; `--dry-run` only says what is missing."""

from __future__ import annotations

import argparse
import sys

from clickhouse_connect.driver.exceptions import Error

from .migrations import MigrationError, migrate, statements_of
from .settings import StoreSettings, load_settings


def command(argv: list[str]) -> int:
    """Migrate and say what was done; 1 when the server refuses or the schema disagrees."""
    parser = argparse.ArgumentParser(prog="spanledger migrate", description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="print the statements and change nothing")
    options = parser.parse_args(argv)
    settings = load_settings(StoreSettings)
    try:
        done = migrate(settings, dry_run=options.dry_run)
    except (Error, MigrationError) as refused:
        print(f"spanledger migrate: {refused}", file=sys.stderr)
        return 1
    for migration in done:
        print(f"{'would apply' if options.dry_run else 'applied'} {migration.name}")
        if options.dry_run:
            print(";\n\n".join(statements_of(migration, settings)) + ";\n")
    if not done:
        print(f"{settings.database}: up to date")
    return 0
