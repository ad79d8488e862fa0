"""The only home of SQL: schema, migrations, writes, reads and the registry."""
