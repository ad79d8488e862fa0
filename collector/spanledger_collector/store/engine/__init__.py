"""chDB behind ClickHouse's own HTTP interface."""
