-- Everything a person configures. Append only: a change is a new version, so history, diff,
-- rollback and audit come for free. The highest version of (project, kind, name) is current.
CREATE TABLE IF NOT EXISTS registry (
    project LowCardinality(String),
    kind LowCardinality(String),
    name String,
    version UInt32,
    document String CODEC(ZSTD(3)), -- JSON
    deleted Bool,
    author String,
    time DateTime64(9, 'UTC'),
    note String
)
ENGINE = MergeTree
ORDER BY (project, kind, name, version)
SETTINGS non_replicated_deduplication_window = 10000;
