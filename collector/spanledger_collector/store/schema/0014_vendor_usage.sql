-- What vendors bill: calls on their models by quarter of an hour, which add up to days of any time zone.
CREATE TABLE IF NOT EXISTS vendor_usage (
    project LowCardinality(String),
    slot DateTime('UTC') CODEC(Delta(4), ZSTD(1)), -- start of 15 minutes
    known_day Date,
    provider LowCardinality(String),
    model LowCardinality(String),
    team LowCardinality(String),
    key_id LowCardinality(String),
    upstream LowCardinality(String),
    service_tier LowCardinality(String),
    priced Bool,
    calls SimpleAggregateFunction(sum, Int64),
    input_calls SimpleAggregateFunction(sum, Int64), -- with tokens of this type
    cache_read_calls SimpleAggregateFunction(sum, Int64),
    cache_write_calls SimpleAggregateFunction(sum, Int64),
    output_calls SimpleAggregateFunction(sum, Int64),
    audio_calls SimpleAggregateFunction(sum, Int64),
    input_tokens SimpleAggregateFunction(sum, Int64),
    cache_read_tokens SimpleAggregateFunction(sum, Int64),
    cache_write_tokens SimpleAggregateFunction(sum, Int64),
    cache_write_1h_tokens SimpleAggregateFunction(sum, Int64),
    output_tokens SimpleAggregateFunction(sum, Int64),
    reasoning_tokens SimpleAggregateFunction(sum, Int64),
    input_audio_tokens SimpleAggregateFunction(sum, Int64),
    output_audio_tokens SimpleAggregateFunction(sum, Int64),
    input_image_tokens SimpleAggregateFunction(sum, Int64),
    output_image_tokens SimpleAggregateFunction(sum, Int64),
    image_units SimpleAggregateFunction(sum, Int64),
    web_searches SimpleAggregateFunction(sum, Int64),
    cost_input SimpleAggregateFunction(sum, Decimal(38, 12)),
    cost_cache_read SimpleAggregateFunction(sum, Decimal(38, 12)),
    cost_cache_write SimpleAggregateFunction(sum, Decimal(38, 12)),
    cost_output SimpleAggregateFunction(sum, Decimal(38, 12)),
    cost_reasoning SimpleAggregateFunction(sum, Decimal(38, 12)),
    cost_other SimpleAggregateFunction(sum, Decimal(38, 12)),
    cost_total SimpleAggregateFunction(sum, Decimal(38, 12))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(slot)
ORDER BY (project, slot, provider, model, team, key_id, upstream, service_tier, known_day, priced)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS vendor_usage_of_spans TO vendor_usage AS
SELECT
    project, toStartOfFifteenMinutes(toDateTime(start_time, 'UTC')) AS slot, toDate(inserted_at, 'UTC') AS known_day, provider,
    if(response_model = '', request_model, response_model) AS model, team, key_id, upstream, service_tier,
    spans.cost_total IS NOT NULL AS priced, toInt64(count()) AS calls,
    toInt64(countIf(ifNull(spans.input_tokens, 0) > 0)) AS input_calls,
    toInt64(countIf(ifNull(spans.cache_read_tokens, 0) > 0)) AS cache_read_calls,
    toInt64(countIf(ifNull(spans.cache_write_tokens, 0) + ifNull(spans.cache_write_1h_tokens, 0) > 0)) AS cache_write_calls,
    toInt64(countIf(ifNull(spans.output_tokens, 0) + ifNull(spans.reasoning_tokens, 0) > 0)) AS output_calls,
    toInt64(countIf(ifNull(spans.input_audio_tokens, 0) + ifNull(spans.output_audio_tokens, 0) > 0)) AS audio_calls,
    sum(toInt64(ifNull(spans.input_tokens, 0))) AS input_tokens,
    sum(toInt64(ifNull(spans.cache_read_tokens, 0))) AS cache_read_tokens,
    sum(toInt64(ifNull(spans.cache_write_tokens, 0))) AS cache_write_tokens,
    sum(toInt64(ifNull(spans.cache_write_1h_tokens, 0))) AS cache_write_1h_tokens,
    sum(toInt64(ifNull(spans.output_tokens, 0))) AS output_tokens,
    sum(toInt64(ifNull(spans.reasoning_tokens, 0))) AS reasoning_tokens,
    sum(toInt64(ifNull(spans.input_audio_tokens, 0))) AS input_audio_tokens,
    sum(toInt64(ifNull(spans.output_audio_tokens, 0))) AS output_audio_tokens,
    sum(toInt64(ifNull(spans.input_image_tokens, 0))) AS input_image_tokens,
    sum(toInt64(ifNull(spans.output_image_tokens, 0))) AS output_image_tokens,
    sum(toInt64(ifNull(spans.image_units, 0))) AS image_units,
    sum(toInt64(ifNull(spans.web_searches, 0))) AS web_searches,
    sum(toDecimal128(ifNull(spans.cost_input, 0), 12)) AS cost_input,
    sum(toDecimal128(ifNull(spans.cost_cache_read, 0), 12)) AS cost_cache_read,
    sum(toDecimal128(ifNull(spans.cost_cache_write, 0), 12)) AS cost_cache_write,
    sum(toDecimal128(ifNull(spans.cost_output, 0), 12)) AS cost_output,
    sum(toDecimal128(ifNull(spans.cost_reasoning, 0), 12)) AS cost_reasoning,
    sum(toDecimal128(ifNull(spans.cost_other, 0), 12)) AS cost_other,
    sum(toDecimal128(ifNull(spans.cost_total, 0), 12)) AS cost_total
FROM spans
WHERE billable AND gpu_pool = '' AND cache NOT IN ('exact', 'semantic')
GROUP BY project, slot, known_day, provider, model, team, key_id, upstream, service_tier, priced;
