-- The audit trail. An event_id is deterministic where an event may be told twice.
CREATE TABLE IF NOT EXISTS events (
    project LowCardinality(String),
    event_id String,
    time DateTime64(9, 'UTC'),
    kind LowCardinality(String),
    severity LowCardinality(String),
    subject LowCardinality(String),
    title String,
    message String,
    evidence String CODEC(ZSTD(3)),
    dedup_key String,
    state LowCardinality(String),
    author String
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (project, time, event_id)
SETTINGS non_replicated_deduplication_window = 10000;

-- What could never be written or run, with its reason; nothing is dropped in silence.
CREATE TABLE IF NOT EXISTS dead_letters (
    project LowCardinality(String),
    time DateTime64(9, 'UTC'),
    source LowCardinality(String), -- ingest | task
    reason LowCardinality(String),
    message String,
    payload String CODEC(ZSTD(3))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (project, time);
