-- Jobs the planner made, each with a deterministic id; the newest state wins; read with FINAL.
CREATE TABLE IF NOT EXISTS eval_jobs (
    project LowCardinality(String),
    job_id String,
    evaluator LowCardinality(String),
    evaluator_version UInt32,
    trace_id FixedString(16),
    span_id FixedString(8),
    time DateTime64(9, 'UTC'), -- start of the span
    state LowCardinality(String), -- planned | done | skipped | dead
    reason LowCardinality(String),
    attempts UInt8,
    updated_at DateTime64(9, 'UTC')
)
ENGINE = ReplacingMergeTree(updated_at)
PARTITION BY toYYYYMM(time)
ORDER BY (project, evaluator, time, job_id)
SETTINGS non_replicated_deduplication_window = 10000;

-- What a vLLM engine said of itself, for GPU cost and for the pages.
CREATE TABLE IF NOT EXISTS engine_samples (
    project LowCardinality(String),
    gpu_pool LowCardinality(String),
    upstream LowCardinality(String),
    time DateTime64(3, 'UTC'),
    model LowCardinality(String),
    metric LowCardinality(String),
    value Float64
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (project, gpu_pool, upstream, metric, time);
