-- Small and corrected now and then: the newest version of a score_id wins; read with FINAL.
CREATE TABLE IF NOT EXISTS scores (
    project LowCardinality(String),
    score_id String,
    trace_id FixedString(16),
    span_id String, -- empty: about the whole trace, else 8 bytes
    name LowCardinality(String),
    value Nullable(Float64),
    label String,
    explanation String CODEC(ZSTD(3)),
    status LowCardinality(String),
    source LowCardinality(String),
    scorer LowCardinality(String),
    scorer_version LowCardinality(String),
    judge_id LowCardinality(String),
    higher_is_better Bool,
    evaluator LowCardinality(String),
    sample_rate Nullable(Float64),
    cost Nullable(Decimal(18, 9)),
    author String,
    time DateTime64(9, 'UTC'),
    created_at DateTime64(9, 'UTC'),
    route LowCardinality(String),
    upstream LowCardinality(String),
    request_model LowCardinality(String),
    INDEX ix_trace trace_id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(created_at)
PARTITION BY toYYYYMM(time)
ORDER BY (project, name, time, score_id)
SETTINGS non_replicated_deduplication_window = 10000;
