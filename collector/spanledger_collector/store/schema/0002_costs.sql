-- Lean sums only: a wide rollup and latency sketches do not pay. They outlive the spans' TTL.
CREATE TABLE IF NOT EXISTS cost_hour (
    project LowCardinality(String),
    team LowCardinality(String),
    hour DateTime('UTC'),
    calls SimpleAggregateFunction(sum, UInt64), -- billable model calls
    errors SimpleAggregateFunction(sum, UInt64),
    unpriced SimpleAggregateFunction(sum, UInt64), -- billable calls whose cost is unknown
    input_tokens SimpleAggregateFunction(sum, UInt64), -- all input buckets together
    output_tokens SimpleAggregateFunction(sum, UInt64), -- all output buckets together
    cost SimpleAggregateFunction(sum, Decimal(38, 9)),
    saved SimpleAggregateFunction(sum, Decimal(38, 9)),
    gpu_seconds SimpleAggregateFunction(sum, Float64)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (project, team, hour)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS cost_hour_mv TO cost_hour AS
SELECT
    project, team, toStartOfHour(toDateTime(start_time, 'UTC')) AS hour,
    count() AS calls, countIf(status = 'error') AS errors, countIf(cost_total IS NULL) AS unpriced,
    sum(toUInt64(ifNull(spans.input_tokens, 0)) + ifNull(cache_read_tokens, 0) + ifNull(cache_write_tokens, 0)
        + ifNull(cache_write_1h_tokens, 0) + ifNull(input_audio_tokens, 0)) AS input_tokens,
    sum(toUInt64(ifNull(spans.output_tokens, 0)) + ifNull(reasoning_tokens, 0)
        + ifNull(output_audio_tokens, 0)) AS output_tokens,
    sum(toDecimal128(ifNull(cost_total, 0), 9)) AS cost,
    sum(toDecimal128(ifNull(cost_saved, 0), 9)) AS saved,
    sum(ifNull(spans.gpu_seconds, 0)) AS gpu_seconds
FROM spans
WHERE billable
GROUP BY project, team, hour;

CREATE TABLE IF NOT EXISTS cost_day (
    project LowCardinality(String),
    team LowCardinality(String),
    day Date,
    provider LowCardinality(String),
    model LowCardinality(String),
    purpose LowCardinality(String),
    calls SimpleAggregateFunction(sum, UInt64),
    errors SimpleAggregateFunction(sum, UInt64),
    unpriced SimpleAggregateFunction(sum, UInt64),
    input_tokens SimpleAggregateFunction(sum, UInt64),
    output_tokens SimpleAggregateFunction(sum, UInt64),
    cost SimpleAggregateFunction(sum, Decimal(38, 9)),
    saved SimpleAggregateFunction(sum, Decimal(38, 9)),
    gpu_seconds SimpleAggregateFunction(sum, Float64)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (project, day, team, provider, model, purpose)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS cost_day_mv TO cost_day AS
SELECT
    project, team, toDate(start_time, 'UTC') AS day, provider,
    if(response_model = '', request_model, response_model) AS model, purpose,
    count() AS calls, countIf(status = 'error') AS errors, countIf(cost_total IS NULL) AS unpriced,
    sum(toUInt64(ifNull(spans.input_tokens, 0)) + ifNull(cache_read_tokens, 0) + ifNull(cache_write_tokens, 0)
        + ifNull(cache_write_1h_tokens, 0) + ifNull(input_audio_tokens, 0)) AS input_tokens,
    sum(toUInt64(ifNull(spans.output_tokens, 0)) + ifNull(reasoning_tokens, 0)
        + ifNull(output_audio_tokens, 0)) AS output_tokens,
    sum(toDecimal128(ifNull(cost_total, 0), 9)) AS cost,
    sum(toDecimal128(ifNull(cost_saved, 0), 9)) AS saved,
    sum(ifNull(spans.gpu_seconds, 0)) AS gpu_seconds
FROM spans
WHERE billable
GROUP BY project, team, day, provider, model, purpose;
