-- Calls that an entry would have answered by meaning, had the semantic cache been on: found by replaying calls made before.
-- What live calls met stands on their spans.
CREATE TABLE IF NOT EXISTS cache_meetings (
    project LowCardinality(String),
    route LowCardinality(String),
    tier LowCardinality(String), -- what one certificate covers: spanledger.cache.group
    trace_id FixedString(16),
    span_id FixedString(8),
    start_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    similarity Float32,
    partition String, -- equal for calls that could have shared answers; no gateway's digest
    origin_trace FixedString(16), -- the call that would have paid for the entry
    origin_span FixedString(8),
    replayed_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(replayed_at)
PARTITION BY toYYYYMM(start_time)
ORDER BY (project, tier, start_time, trace_id, span_id)
SETTINGS non_replicated_deduplication_window = 10000;
