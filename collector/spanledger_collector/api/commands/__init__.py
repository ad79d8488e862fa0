"""Commands that talk to a collector over HTTP: apply, get, diff, rollback, export, key."""
