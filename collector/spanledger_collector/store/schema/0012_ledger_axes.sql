-- Daily sums by user and by tags: dimensions that are too many, or whose values are too free, for ``ledger_day``.
CREATE TABLE IF NOT EXISTS ledger_user_day (
    project LowCardinality(String),
    day Date,
    known_day Date,
    source LowCardinality(String),
    category LowCardinality(String),
    team LowCardinality(String),
    user_id String,
    calls SimpleAggregateFunction(sum, Int64),
    errors SimpleAggregateFunction(sum, Int64),
    unpriced SimpleAggregateFunction(sum, Int64),
    unlisted SimpleAggregateFunction(sum, Int64),
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
    engine_ns SimpleAggregateFunction(sum, Int64),
    cost SimpleAggregateFunction(sum, Decimal(38, 12)),
    saved SimpleAggregateFunction(sum, Decimal(38, 12)),
    list_cost SimpleAggregateFunction(sum, Decimal(38, 12)),
    reported SimpleAggregateFunction(sum, Decimal(38, 12))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (project, day, user_id, team, category, known_day, source)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS ledger_user_day_of_spans TO ledger_user_day AS
SELECT
    project, toDate(start_time, 'UTC') AS day, toDate(inserted_at, 'UTC') AS known_day, 'span' AS source,
    multiIf(purpose = 'eval', 'evaluation', purpose = 'cache_check', 'cache_check', operation = 'embeddings', 'embedding',
        gpu_pool != '', 'gpu', 'api') AS category,
    team, user_id,
    toInt64(count()) AS calls, toInt64(countIf(status = 'error')) AS errors,
    toInt64(countIf((gpu_pool != '' AND cache NOT IN ('exact', 'semantic')) OR cost_total IS NULL)) AS unpriced, toInt64(0) AS unlisted,
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
    toInt64(0) AS engine_ns,
    sum(toDecimal128(if(gpu_pool != '' AND cache NOT IN ('exact', 'semantic'), 0, ifNull(cost_total, 0)), 12)) AS cost,
    sum(toDecimal128(ifNull(cost_saved, 0), 12)) AS saved,
    toDecimal128(0, 12) AS list_cost, sum(toDecimal128(ifNull(cost_reported, 0), 12)) AS reported
FROM spans
WHERE billable
GROUP BY project, day, known_day, source, category, team, user_id;

CREATE MATERIALIZED VIEW IF NOT EXISTS ledger_user_day_of_repricings TO ledger_user_day AS
SELECT
    project, toDate(start_time, 'UTC') AS day, toDate(time, 'UTC') AS known_day, 'reprice' AS source, category,
    team, user_id,
    toInt64(0) AS calls, toInt64(0) AS errors,
    toInt64(countIf(new_cost IS NULL)) - toInt64(countIf(old_cost IS NULL)) AS unpriced,
    toInt64(0) AS unlisted, toInt64(0) AS input_tokens, toInt64(0) AS cache_read_tokens, toInt64(0) AS
    cache_write_tokens, toInt64(0) AS cache_write_1h_tokens, toInt64(0) AS output_tokens, toInt64(0) AS
    reasoning_tokens, toInt64(0) AS input_audio_tokens, toInt64(0) AS output_audio_tokens, toInt64(0) AS
    input_image_tokens, toInt64(0) AS output_image_tokens, toInt64(0) AS image_units, toInt64(0) AS
    web_searches, toInt64(0) AS engine_ns,
    sum(toDecimal128(ifNull(new_cost, 0), 12) - toDecimal128(ifNull(old_cost, 0), 12)) AS cost,
    sum(toDecimal128(ifNull(new_saved, 0), 12) - toDecimal128(ifNull(old_saved, 0), 12)) AS saved,
    toDecimal128(0, 12) AS list_cost, toDecimal128(0, 12) AS reported
FROM repricings
GROUP BY project, day, known_day, source, category, team, user_id;

CREATE MATERIALIZED VIEW IF NOT EXISTS ledger_user_day_of_gpu_costs TO ledger_user_day AS
SELECT
    project, toDate(time, 'UTC') AS day, toDate(known_at, 'UTC') AS known_day, 'gpu' AS source, category,
    team, user_id,
    toInt64(0) AS calls, toInt64(0) AS errors, -sumIf(toInt64(sign), home) AS unpriced,
    sumIf(toInt64(sign), home AND isNull(gpu_costs.list_cost)) AS unlisted,
    toInt64(0) AS input_tokens, toInt64(0) AS cache_read_tokens, toInt64(0) AS cache_write_tokens, toInt64(0) AS
    cache_write_1h_tokens, toInt64(0) AS output_tokens, toInt64(0) AS reasoning_tokens, toInt64(0) AS
    input_audio_tokens, toInt64(0) AS output_audio_tokens, toInt64(0) AS input_image_tokens, toInt64(0) AS
    output_image_tokens, toInt64(0) AS image_units, toInt64(0) AS web_searches,
    sum(toInt64(gpu_costs.engine_ns) * sign) AS engine_ns,
    sum(gpu_costs.cost * sign) AS cost, toDecimal128(0, 12) AS saved,
    sum(ifNull(gpu_costs.list_cost, 0) * sign) AS list_cost, toDecimal128(0, 12) AS reported
FROM gpu_costs
GROUP BY project, day, known_day, source, category, team, user_id;

CREATE MATERIALIZED VIEW IF NOT EXISTS ledger_user_day_of_adjustments TO ledger_user_day AS
SELECT
    project, toDate(time, 'UTC') AS day, toDate(known_at, 'UTC') AS known_day, 'adjustment' AS source, category,
    team, user_id,
    toInt64(0) AS calls, toInt64(0) AS errors, toInt64(0) AS unpriced, toInt64(0) AS unlisted, toInt64(0) AS
    input_tokens, toInt64(0) AS cache_read_tokens, toInt64(0) AS cache_write_tokens, toInt64(0) AS
    cache_write_1h_tokens, toInt64(0) AS output_tokens, toInt64(0) AS reasoning_tokens, toInt64(0) AS
    input_audio_tokens, toInt64(0) AS output_audio_tokens, toInt64(0) AS input_image_tokens, toInt64(0) AS
    output_image_tokens, toInt64(0) AS image_units, toInt64(0) AS web_searches, toInt64(0) AS engine_ns,
    sum(adjustments.cost) AS cost, toDecimal128(0, 12) AS saved, toDecimal128(0, 12) AS list_cost, toDecimal128(0, 12) AS reported
FROM adjustments
GROUP BY project, day, known_day, source, category, team, user_id;

CREATE TABLE IF NOT EXISTS ledger_tags_day (
    project LowCardinality(String),
    day Date,
    known_day Date,
    source LowCardinality(String),
    category LowCardinality(String),
    team LowCardinality(String),
    model LowCardinality(String),
    tags Array(LowCardinality(String)),
    calls SimpleAggregateFunction(sum, Int64),
    errors SimpleAggregateFunction(sum, Int64),
    unpriced SimpleAggregateFunction(sum, Int64),
    unlisted SimpleAggregateFunction(sum, Int64),
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
    engine_ns SimpleAggregateFunction(sum, Int64),
    cost SimpleAggregateFunction(sum, Decimal(38, 12)),
    saved SimpleAggregateFunction(sum, Decimal(38, 12)),
    list_cost SimpleAggregateFunction(sum, Decimal(38, 12)),
    reported SimpleAggregateFunction(sum, Decimal(38, 12))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (project, day, tags, team, model, category, known_day, source)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS ledger_tags_day_of_spans TO ledger_tags_day AS
SELECT
    project, toDate(start_time, 'UTC') AS day, toDate(inserted_at, 'UTC') AS known_day, 'span' AS source,
    multiIf(purpose = 'eval', 'evaluation', purpose = 'cache_check', 'cache_check', operation = 'embeddings', 'embedding',
        gpu_pool != '', 'gpu', 'api') AS category,
    team, if(response_model = '', request_model, response_model) AS model, tags,
    toInt64(count()) AS calls, toInt64(countIf(status = 'error')) AS errors,
    toInt64(countIf((gpu_pool != '' AND cache NOT IN ('exact', 'semantic')) OR cost_total IS NULL)) AS unpriced, toInt64(0) AS unlisted,
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
    toInt64(0) AS engine_ns,
    sum(toDecimal128(if(gpu_pool != '' AND cache NOT IN ('exact', 'semantic'), 0, ifNull(cost_total, 0)), 12)) AS cost,
    sum(toDecimal128(ifNull(cost_saved, 0), 12)) AS saved,
    toDecimal128(0, 12) AS list_cost, sum(toDecimal128(ifNull(cost_reported, 0), 12)) AS reported
FROM spans
WHERE billable
GROUP BY project, day, known_day, source, category, team, model, tags;

CREATE MATERIALIZED VIEW IF NOT EXISTS ledger_tags_day_of_repricings TO ledger_tags_day AS
SELECT
    project, toDate(start_time, 'UTC') AS day, toDate(time, 'UTC') AS known_day, 'reprice' AS source, category,
    team, model, tags,
    toInt64(0) AS calls, toInt64(0) AS errors,
    toInt64(countIf(new_cost IS NULL)) - toInt64(countIf(old_cost IS NULL)) AS unpriced,
    toInt64(0) AS unlisted, toInt64(0) AS input_tokens, toInt64(0) AS cache_read_tokens, toInt64(0) AS
    cache_write_tokens, toInt64(0) AS cache_write_1h_tokens, toInt64(0) AS output_tokens, toInt64(0) AS
    reasoning_tokens, toInt64(0) AS input_audio_tokens, toInt64(0) AS output_audio_tokens, toInt64(0) AS
    input_image_tokens, toInt64(0) AS output_image_tokens, toInt64(0) AS image_units, toInt64(0) AS
    web_searches, toInt64(0) AS engine_ns,
    sum(toDecimal128(ifNull(new_cost, 0), 12) - toDecimal128(ifNull(old_cost, 0), 12)) AS cost,
    sum(toDecimal128(ifNull(new_saved, 0), 12) - toDecimal128(ifNull(old_saved, 0), 12)) AS saved,
    toDecimal128(0, 12) AS list_cost, toDecimal128(0, 12) AS reported
FROM repricings
GROUP BY project, day, known_day, source, category, team, model, tags;

CREATE MATERIALIZED VIEW IF NOT EXISTS ledger_tags_day_of_gpu_costs TO ledger_tags_day AS
SELECT
    project, toDate(time, 'UTC') AS day, toDate(known_at, 'UTC') AS known_day, 'gpu' AS source, category,
    team, model, tags,
    toInt64(0) AS calls, toInt64(0) AS errors, -sumIf(toInt64(sign), home) AS unpriced,
    sumIf(toInt64(sign), home AND isNull(gpu_costs.list_cost)) AS unlisted,
    toInt64(0) AS input_tokens, toInt64(0) AS cache_read_tokens, toInt64(0) AS cache_write_tokens, toInt64(0) AS
    cache_write_1h_tokens, toInt64(0) AS output_tokens, toInt64(0) AS reasoning_tokens, toInt64(0) AS
    input_audio_tokens, toInt64(0) AS output_audio_tokens, toInt64(0) AS input_image_tokens, toInt64(0) AS
    output_image_tokens, toInt64(0) AS image_units, toInt64(0) AS web_searches,
    sum(toInt64(gpu_costs.engine_ns) * sign) AS engine_ns,
    sum(gpu_costs.cost * sign) AS cost, toDecimal128(0, 12) AS saved,
    sum(ifNull(gpu_costs.list_cost, 0) * sign) AS list_cost, toDecimal128(0, 12) AS reported
FROM gpu_costs
GROUP BY project, day, known_day, source, category, team, model, tags;

CREATE MATERIALIZED VIEW IF NOT EXISTS ledger_tags_day_of_adjustments TO ledger_tags_day AS
SELECT
    project, toDate(time, 'UTC') AS day, toDate(known_at, 'UTC') AS known_day, 'adjustment' AS source, category,
    team, model, tags,
    toInt64(0) AS calls, toInt64(0) AS errors, toInt64(0) AS unpriced, toInt64(0) AS unlisted, toInt64(0) AS
    input_tokens, toInt64(0) AS cache_read_tokens, toInt64(0) AS cache_write_tokens, toInt64(0) AS
    cache_write_1h_tokens, toInt64(0) AS output_tokens, toInt64(0) AS reasoning_tokens, toInt64(0) AS
    input_audio_tokens, toInt64(0) AS output_audio_tokens, toInt64(0) AS input_image_tokens, toInt64(0) AS
    output_image_tokens, toInt64(0) AS image_units, toInt64(0) AS web_searches, toInt64(0) AS engine_ns,
    sum(adjustments.cost) AS cost, toDecimal128(0, 12) AS saved, toDecimal128(0, 12) AS list_cost, toDecimal128(0, 12) AS reported
FROM adjustments
GROUP BY project, day, known_day, source, category, team, model, tags;
