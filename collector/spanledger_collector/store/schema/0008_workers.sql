-- What the workers did: for a frequent task a row a minute and process, for a rare one a row a run.
CREATE TABLE IF NOT EXISTS task_runs (
    task LowCardinality(String),
    worker LowCardinality(String), -- host:pid
    time DateTime64(9, 'UTC'), -- start of the first run
    runs UInt32,
    failed UInt32,
    busy_ns UInt64,
    longest_ns UInt64,
    did Map(LowCardinality(String), UInt64), -- what it says it did, summed
    error String -- the last failure
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (task, time, worker)
TTL toDateTime(time, 'UTC') + toIntervalDay(90)
SETTINGS non_replicated_deduplication_window = 10000;

-- Of the calls of five minutes that a rule could score: how many were sampled and what became of them.
-- Computed again until the window is an hour old; the newest row wins; read with FINAL.
CREATE TABLE IF NOT EXISTS eval_coverage (
    project LowCardinality(String),
    evaluator LowCardinality(String),
    window_start DateTime('UTC'), -- start, by the calls' start
    matched UInt32, -- calls that the rule's filter wants
    sampled UInt32,
    scored UInt32,
    skipped Map(LowCardinality(String), UInt32), -- by reason
    dead UInt32,
    computed_at DateTime64(9, 'UTC')
)
ENGINE = ReplacingMergeTree(computed_at)
PARTITION BY toYYYYMM(window_start)
ORDER BY (project, evaluator, window_start)
SETTINGS non_replicated_deduplication_window = 10000;

-- Rows of regression runs, one a case; done again it replaces itself; read with FINAL.
CREATE TABLE IF NOT EXISTS regression_rows (
    project LowCardinality(String),
    regression LowCardinality(String),
    run_id String,
    case_id String,
    time DateTime64(9, 'UTC'),
    line String CODEC(ZSTD(3)) -- one line of a run's file
)
ENGINE = ReplacingMergeTree(time)
PARTITION BY toYYYYMM(time)
ORDER BY (project, regression, run_id, case_id)
SETTINGS non_replicated_deduplication_window = 10000;
