-- Units that some vendors bill beside tokens of text, and where they served a call.
ALTER TABLE spans ADD COLUMN IF NOT EXISTS region LowCardinality(String) AFTER service_tier;
ALTER TABLE spans ADD COLUMN IF NOT EXISTS input_image_tokens Nullable(UInt32) CODEC(T64, ZSTD(1)) AFTER output_audio_tokens;
ALTER TABLE spans ADD COLUMN IF NOT EXISTS output_image_tokens Nullable(UInt32) CODEC(T64, ZSTD(1)) AFTER input_image_tokens;
ALTER TABLE spans ADD COLUMN IF NOT EXISTS web_searches Nullable(UInt32) CODEC(T64, ZSTD(1)) AFTER image_units;

-- The ledger: all spend, of every kind, as signed rows of one shape. Nothing is ever changed: a correction is a
-- further row, so that sums over all rows are right now, and sums over rows known before a moment are what was
-- known then. Money is US dollars.

-- A corrected price of one call: what was believed until `time` and what is believed since.
CREATE TABLE IF NOT EXISTS repricings (
    repricing_id String, -- of the run that found it
    project LowCardinality(String),
    trace_id FixedString(16),
    span_id FixedString(8),
    start_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)), -- of the call
    time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)), -- when the correction was made
    category LowCardinality(String),
    organisation LowCardinality(String),
    team LowCardinality(String),
    feature LowCardinality(String),
    customer_id String,
    user_id String,
    session_id String,
    key_id LowCardinality(String),
    tags Array(LowCardinality(String)),
    route LowCardinality(String),
    model LowCardinality(String),
    provider LowCardinality(String),
    upstream LowCardinality(String),
    gpu_pool LowCardinality(String),
    purpose LowCardinality(String),
    service_tier LowCardinality(String),
    region LowCardinality(String),
    environment LowCardinality(String),
    service LowCardinality(String),
    prompt_name LowCardinality(String),
    cache LowCardinality(String),
    old_cost Nullable(Decimal(18, 9)), -- NULL: was unpriced
    new_cost Nullable(Decimal(18, 9)),
    old_saved Nullable(Decimal(18, 9)), -- of a cache hit
    new_saved Nullable(Decimal(18, 9)),
    cost_input Nullable(Decimal(18, 9)), -- the new figures by bucket
    cost_cache_read Nullable(Decimal(18, 9)),
    cost_cache_write Nullable(Decimal(18, 9)),
    cost_output Nullable(Decimal(18, 9)),
    cost_reasoning Nullable(Decimal(18, 9)),
    cost_other Nullable(Decimal(18, 9)),
    old_price_source LowCardinality(String),
    old_price_version LowCardinality(String),
    price_source LowCardinality(String),
    price_version LowCardinality(String),
    author LowCardinality(String),
    note LowCardinality(String)
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(start_time)
ORDER BY (project, start_time, trace_id, span_id, time)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

-- The cost of a GPU pool's intervals, split over the calls that ran in them. A restated interval is one insert:
-- its former revision again with sign -1, and the new one with sign 1.
CREATE TABLE IF NOT EXISTS gpu_costs (
    project LowCardinality(String), -- of the call; of the pool's document where no call bears the cost
    pool_project LowCardinality(String), -- where the pool's document stands
    interval_start DateTime('UTC'),
    interval_s UInt32,
    revision UInt32,
    sign Int8,
    time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)), -- start of the call, or of the interval if that is later
    known_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    line LowCardinality(String), -- call | idle | warm_up | central
    basis LowCardinality(String), -- engine_time | token_weight | policy
    home Bool, -- whether the call began in this interval: one row of each call is its home
    trace_id FixedString(16), -- zeros where the line belongs to no single call
    span_id FixedString(8),
    category LowCardinality(String),
    organisation LowCardinality(String),
    team LowCardinality(String),
    feature LowCardinality(String),
    customer_id String,
    user_id String,
    session_id String,
    key_id LowCardinality(String),
    tags Array(LowCardinality(String)),
    route LowCardinality(String),
    model LowCardinality(String),
    provider LowCardinality(String),
    upstream LowCardinality(String),
    gpu_pool LowCardinality(String),
    purpose LowCardinality(String),
    service_tier LowCardinality(String),
    region LowCardinality(String),
    environment LowCardinality(String),
    service LowCardinality(String),
    prompt_name LowCardinality(String),
    cache LowCardinality(String),
    engine_ns UInt64, -- engine time of the call within the interval
    cost Decimal(38, 12),
    list_cost Nullable(Decimal(38, 12)) -- home rows: what the pool's reference model would have cost
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(interval_start)
ORDER BY (project, gpu_pool, interval_start, revision, trace_id, span_id)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

-- Bookings that are no calls: corrections of closed months, differences to invoices, entries by hand.
CREATE TABLE IF NOT EXISTS adjustments (
    adjustment_id String, -- deterministic where a booking may be made twice
    project LowCardinality(String),
    month Date, -- first day of the month it is about
    time DateTime64(9, 'UTC'), -- where it stands in the ledger, within `month`
    known_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    kind LowCardinality(String), -- reprice | reconciliation | manual | gpu_restatement | late_calls
    category LowCardinality(String), -- adjustment, or fine_tuning, ...: what the money is for
    organisation LowCardinality(String),
    team LowCardinality(String),
    feature LowCardinality(String),
    customer_id String,
    user_id String,
    session_id String,
    key_id LowCardinality(String),
    tags Array(LowCardinality(String)),
    route LowCardinality(String),
    model LowCardinality(String),
    provider LowCardinality(String),
    upstream LowCardinality(String),
    gpu_pool LowCardinality(String),
    purpose LowCardinality(String),
    service_tier LowCardinality(String),
    region LowCardinality(String),
    environment LowCardinality(String),
    service LowCardinality(String),
    prompt_name LowCardinality(String),
    cache LowCardinality(String),
    amount Decimal(38, 12), -- in `currency`
    currency LowCardinality(String),
    cost Decimal(38, 12), -- the same in US dollars, by the rate of `time`
    reason String,
    author LowCardinality(String),
    evidence String CODEC(ZSTD(3)) -- JSON
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(month)
ORDER BY (project, month, time, adjustment_id)
SETTINGS non_replicated_deduplication_window = 10000;

-- Month close: the newest row of (project, month) is its state. A closed month counts what was known before
-- `cutoff`, and adjustments.
CREATE TABLE IF NOT EXISTS months (
    project LowCardinality(String),
    month Date, -- its first day
    state LowCardinality(String), -- open | closed
    cutoff Date, -- UTC; the first day whose knowledge no longer counts
    author LowCardinality(String), -- who signed
    time DateTime64(9, 'UTC'),
    note String,
    totals String CODEC(ZSTD(3)) -- JSON, frozen
)
ENGINE = MergeTree
ORDER BY (project, month, time)
SETTINGS non_replicated_deduplication_window = 10000;

-- What vendors say, line by line, as imported; the newest import of a line wins; read with FINAL.
CREATE TABLE IF NOT EXISTS invoice_lines (
    project LowCardinality(String),
    source LowCardinality(String), -- openai_costs | openai_usage | anthropic_costs | anthropic_usage | focus | csv
    line_id String, -- deterministic: the same line imported again replaces itself
    day Date,
    time DateTime64(9, 'UTC'), -- start of what it bills
    end_time DateTime64(9, 'UTC'),
    provider LowCardinality(String),
    account String, -- the vendor's own project, workspace or account
    vendor_key String, -- the vendor's id of the key
    model LowCardinality(String),
    token_type LowCardinality(String), -- a bucket's column name, or what else is billed
    service_tier LowCardinality(String),
    region LowCardinality(String),
    description String,
    quantity Nullable(Decimal(38, 12)),
    unit LowCardinality(String),
    amount Nullable(Decimal(38, 12)), -- in `currency`; NULL where the report tells usage only
    currency LowCardinality(String),
    cost Nullable(Decimal(38, 12)), -- US dollars
    attributes Map(LowCardinality(String), String),
    import_id String,
    file String,
    author LowCardinality(String),
    imported_at DateTime64(9, 'UTC')
)
ENGINE = ReplacingMergeTree(imported_at)
PARTITION BY toYYYYMM(day)
ORDER BY (project, source, day, line_id)
SETTINGS non_replicated_deduplication_window = 10000;

-- Each row of spend. A call is one row of source `span` (calls = 1); corrections and GPU shares of it are further
-- rows with its ids and calls = 0. `cost` NULL is unknown; `unpriced` counts unknowns and sums to what is left of them.
CREATE VIEW IF NOT EXISTS ledger AS
SELECT
    project, start_time AS time, toDate(start_time, 'UTC') AS day, toDate(inserted_at, 'UTC') AS known_day,
    'span' AS source, multiIf(purpose = 'eval', 'evaluation', purpose = 'cache_check', 'cache_check', operation = 'embeddings', 'embedding',
        gpu_pool != '', 'gpu', 'api') AS category,
    organisation, team, feature, customer_id, user_id, session_id, key_id, tags, route, if(response_model = '',
    request_model, response_model) AS model, provider, upstream, gpu_pool, purpose, service_tier, region,
    environment, service, prompt_name, cache,
    '' AS line,
    multiIf(cache IN ('exact', 'semantic'), 'cache', gpu_pool != '', 'gpu', cost_total IS NULL, 'unpriced', 'price') AS basis,
    trace_id, span_id, status,
    toInt64(1) AS calls, toInt64(status = 'error') AS errors,
    toInt64(if(gpu_pool != '' AND cache NOT IN ('exact', 'semantic'), 1, isNull(cost_total))) AS unpriced, toInt64(0) AS unlisted,
    toInt64(input_tokens) AS input_tokens, toInt64(cache_read_tokens) AS cache_read_tokens,
    toInt64(cache_write_tokens) AS cache_write_tokens, toInt64(cache_write_1h_tokens) AS cache_write_1h_tokens,
    toInt64(output_tokens) AS output_tokens, toInt64(reasoning_tokens) AS reasoning_tokens,
    toInt64(input_audio_tokens) AS input_audio_tokens, toInt64(output_audio_tokens) AS output_audio_tokens,
    toInt64(input_image_tokens) AS input_image_tokens, toInt64(output_image_tokens) AS output_image_tokens,
    toInt64(image_units) AS image_units, toInt64(web_searches) AS web_searches,
    toInt64(0) AS engine_ns,
    if(gpu_pool != '' AND cache NOT IN ('exact', 'semantic'), NULL, CAST(cost_total, 'Nullable(Decimal(38, 12))')) AS cost,
    CAST(cost_saved, 'Nullable(Decimal(38, 12))') AS saved,
    CAST(NULL, 'Nullable(Decimal(38, 12))') AS list_cost,
    CAST(cost_reported, 'Nullable(Decimal(38, 12))') AS reported
FROM spans
WHERE billable
UNION ALL
SELECT
    project, start_time AS time, toDate(start_time, 'UTC') AS day, toDate(repricings.time, 'UTC') AS known_day,
    'reprice' AS source, category,
    organisation, team, feature, customer_id, user_id, session_id, key_id, tags, route, model, provider,
    upstream, gpu_pool, purpose, service_tier, region, environment, service, prompt_name, cache,
    '' AS line, 'price' AS basis,
    trace_id, span_id, '' AS status,
    toInt64(0) AS calls, toInt64(0) AS errors,
    toInt64(isNull(new_cost)) - toInt64(isNull(old_cost)) AS unpriced, toInt64(0) AS unlisted,
    CAST(NULL, 'Nullable(Int64)') AS input_tokens, CAST(NULL, 'Nullable(Int64)') AS cache_read_tokens,
    CAST(NULL, 'Nullable(Int64)') AS cache_write_tokens, CAST(NULL, 'Nullable(Int64)') AS cache_write_1h_tokens,
    CAST(NULL, 'Nullable(Int64)') AS output_tokens, CAST(NULL, 'Nullable(Int64)') AS reasoning_tokens,
    CAST(NULL, 'Nullable(Int64)') AS input_audio_tokens, CAST(NULL, 'Nullable(Int64)') AS output_audio_tokens,
    CAST(NULL, 'Nullable(Int64)') AS input_image_tokens, CAST(NULL, 'Nullable(Int64)') AS output_image_tokens,
    CAST(NULL, 'Nullable(Int64)') AS image_units, CAST(NULL, 'Nullable(Int64)') AS web_searches,
    toInt64(0) AS engine_ns,
    CAST(toDecimal128(ifNull(new_cost, 0), 12) - toDecimal128(ifNull(old_cost, 0), 12), 'Nullable(Decimal(38, 12))') AS cost,
    CAST(toDecimal128(ifNull(new_saved, 0), 12) - toDecimal128(ifNull(old_saved, 0), 12), 'Nullable(Decimal(38, 12))') AS saved,
    CAST(NULL, 'Nullable(Decimal(38, 12))') AS list_cost,
    CAST(NULL, 'Nullable(Decimal(38, 12))') AS reported
FROM repricings
UNION ALL
SELECT
    project, time, toDate(time, 'UTC') AS day, toDate(known_at, 'UTC') AS known_day,
    'gpu' AS source, category,
    organisation, team, feature, customer_id, user_id, session_id, key_id, tags, route, model, provider,
    upstream, gpu_pool, purpose, service_tier, region, environment, service, prompt_name, cache,
    line, basis,
    trace_id, span_id, '' AS status,
    toInt64(0) AS calls, toInt64(0) AS errors,
    if(home, -toInt64(sign), 0) AS unpriced, if(home AND isNull(gpu_costs.list_cost), toInt64(sign), 0) AS unlisted,
    CAST(NULL, 'Nullable(Int64)') AS input_tokens, CAST(NULL, 'Nullable(Int64)') AS cache_read_tokens,
    CAST(NULL, 'Nullable(Int64)') AS cache_write_tokens, CAST(NULL, 'Nullable(Int64)') AS cache_write_1h_tokens,
    CAST(NULL, 'Nullable(Int64)') AS output_tokens, CAST(NULL, 'Nullable(Int64)') AS reasoning_tokens,
    CAST(NULL, 'Nullable(Int64)') AS input_audio_tokens, CAST(NULL, 'Nullable(Int64)') AS output_audio_tokens,
    CAST(NULL, 'Nullable(Int64)') AS input_image_tokens, CAST(NULL, 'Nullable(Int64)') AS output_image_tokens,
    CAST(NULL, 'Nullable(Int64)') AS image_units, CAST(NULL, 'Nullable(Int64)') AS web_searches,
    toInt64(gpu_costs.engine_ns) * sign AS engine_ns,
    CAST(gpu_costs.cost * sign, 'Nullable(Decimal(38, 12))') AS cost,
    CAST(NULL, 'Nullable(Decimal(38, 12))') AS saved,
    CAST(gpu_costs.list_cost * sign, 'Nullable(Decimal(38, 12))') AS list_cost,
    CAST(NULL, 'Nullable(Decimal(38, 12))') AS reported
FROM gpu_costs
UNION ALL
SELECT
    project, time, toDate(time, 'UTC') AS day, toDate(known_at, 'UTC') AS known_day,
    'adjustment' AS source, category,
    organisation, team, feature, customer_id, user_id, session_id, key_id, tags, route, model, provider,
    upstream, gpu_pool, purpose, service_tier, region, environment, service, prompt_name, cache,
    kind AS line, 'adjustment' AS basis,
    toFixedString('', 16) AS trace_id, toFixedString('', 8) AS span_id, '' AS status,
    toInt64(0) AS calls, toInt64(0) AS errors, toInt64(0) AS unpriced, toInt64(0) AS unlisted,
    CAST(NULL, 'Nullable(Int64)') AS input_tokens, CAST(NULL, 'Nullable(Int64)') AS cache_read_tokens,
    CAST(NULL, 'Nullable(Int64)') AS cache_write_tokens, CAST(NULL, 'Nullable(Int64)') AS cache_write_1h_tokens,
    CAST(NULL, 'Nullable(Int64)') AS output_tokens, CAST(NULL, 'Nullable(Int64)') AS reasoning_tokens,
    CAST(NULL, 'Nullable(Int64)') AS input_audio_tokens, CAST(NULL, 'Nullable(Int64)') AS output_audio_tokens,
    CAST(NULL, 'Nullable(Int64)') AS input_image_tokens, CAST(NULL, 'Nullable(Int64)') AS output_image_tokens,
    CAST(NULL, 'Nullable(Int64)') AS image_units, CAST(NULL, 'Nullable(Int64)') AS web_searches,
    toInt64(0) AS engine_ns,
    CAST(adjustments.cost, 'Nullable(Decimal(38, 12))') AS cost,
    CAST(NULL, 'Nullable(Decimal(38, 12))') AS saved,
    CAST(NULL, 'Nullable(Decimal(38, 12))') AS list_cost,
    CAST(NULL, 'Nullable(Decimal(38, 12))') AS reported
FROM adjustments;

-- The same, summed by day: what pages read. It outlives the spans' TTL. Calls by user, session and tag are read
-- from `ledger`, whose rows these are the sums of.
CREATE TABLE IF NOT EXISTS ledger_day (
    project LowCardinality(String),
    day Date,
    known_day Date,
    source LowCardinality(String),
    category LowCardinality(String),
    organisation LowCardinality(String),
    team LowCardinality(String),
    feature LowCardinality(String),
    customer_id String,
    key_id LowCardinality(String),
    route LowCardinality(String),
    model LowCardinality(String),
    provider LowCardinality(String),
    upstream LowCardinality(String),
    gpu_pool LowCardinality(String),
    purpose LowCardinality(String),
    service_tier LowCardinality(String),
    region LowCardinality(String),
    environment LowCardinality(String),
    service LowCardinality(String),
    prompt_name LowCardinality(String),
    cache LowCardinality(String),
    line LowCardinality(String),
    basis LowCardinality(String),
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
ORDER BY (project, day, category, team, model, provider, known_day, source,
    organisation, feature, customer_id, key_id, route, upstream, gpu_pool, purpose, service_tier, region,
    environment, service, prompt_name, cache, line, basis)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS ledger_day_of_spans TO ledger_day AS
SELECT
    project, toDate(start_time, 'UTC') AS day, toDate(inserted_at, 'UTC') AS known_day,
    'span' AS source, multiIf(purpose = 'eval', 'evaluation', purpose = 'cache_check', 'cache_check', operation = 'embeddings', 'embedding',
        gpu_pool != '', 'gpu', 'api') AS category,
    organisation, team, feature, customer_id, key_id, route, if(response_model = '', request_model,
    response_model) AS model, provider, upstream, gpu_pool, purpose, service_tier, region, environment, service,
    prompt_name, cache,
    '' AS line,
    multiIf(cache IN ('exact', 'semantic'), 'cache', gpu_pool != '', 'gpu', cost_total IS NULL, 'unpriced', 'price') AS basis,
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
    toDecimal128(0, 12) AS list_cost,
    sum(toDecimal128(ifNull(cost_reported, 0), 12)) AS reported
FROM spans
WHERE billable
GROUP BY project, day, known_day, source, category,
    organisation, team, feature, customer_id, key_id, route, model, provider, upstream, gpu_pool, purpose,
    service_tier, region, environment, service, prompt_name, cache, line, basis;

CREATE MATERIALIZED VIEW IF NOT EXISTS ledger_day_of_repricings TO ledger_day AS
SELECT
    project, toDate(start_time, 'UTC') AS day, toDate(time, 'UTC') AS known_day, 'reprice' AS source, category,
    organisation, team, feature, customer_id, key_id, route, model, provider, upstream, gpu_pool, purpose,
    service_tier, region, environment, service, prompt_name, cache,
    '' AS line, 'price' AS basis,
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
GROUP BY project, day, known_day, source, category,
    organisation, team, feature, customer_id, key_id, route, model, provider, upstream, gpu_pool, purpose,
    service_tier, region, environment, service, prompt_name, cache, line, basis;

CREATE MATERIALIZED VIEW IF NOT EXISTS ledger_day_of_gpu_costs TO ledger_day AS
SELECT
    project, toDate(time, 'UTC') AS day, toDate(known_at, 'UTC') AS known_day, 'gpu' AS source, category,
    organisation, team, feature, customer_id, key_id, route, model, provider, upstream, gpu_pool, purpose,
    service_tier, region, environment, service, prompt_name, cache,
    line, basis,
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
GROUP BY project, day, known_day, source, category,
    organisation, team, feature, customer_id, key_id, route, model, provider, upstream, gpu_pool, purpose,
    service_tier, region, environment, service, prompt_name, cache, line, basis;

CREATE MATERIALIZED VIEW IF NOT EXISTS ledger_day_of_adjustments TO ledger_day AS
SELECT
    project, toDate(time, 'UTC') AS day, toDate(known_at, 'UTC') AS known_day, 'adjustment' AS source, category,
    organisation, team, feature, customer_id, key_id, route, model, provider, upstream, gpu_pool, purpose,
    service_tier, region, environment, service, prompt_name, cache,
    kind AS line, 'adjustment' AS basis,
    toInt64(0) AS calls, toInt64(0) AS errors, toInt64(0) AS unpriced, toInt64(0) AS unlisted, toInt64(0) AS
    input_tokens, toInt64(0) AS cache_read_tokens, toInt64(0) AS cache_write_tokens, toInt64(0) AS
    cache_write_1h_tokens, toInt64(0) AS output_tokens, toInt64(0) AS reasoning_tokens, toInt64(0) AS
    input_audio_tokens, toInt64(0) AS output_audio_tokens, toInt64(0) AS input_image_tokens, toInt64(0) AS
    output_image_tokens, toInt64(0) AS image_units, toInt64(0) AS web_searches, toInt64(0) AS engine_ns,
    sum(adjustments.cost) AS cost, toDecimal128(0, 12) AS saved, toDecimal128(0, 12) AS list_cost, toDecimal128(0, 12) AS reported
FROM adjustments
GROUP BY project, day, known_day, source, category,
    organisation, team, feature, customer_id, key_id, route, model, provider, upstream, gpu_pool, purpose,
    service_tier, region, environment, service, prompt_name, cache, line, basis;

-- The older rollups follow a corrected price. Their counts have no sign: -1 is added as 2^64 - 1, which wraps.
CREATE MATERIALIZED VIEW IF NOT EXISTS cost_hour_of_repricings TO cost_hour AS
SELECT
    project, team, toStartOfHour(toDateTime(start_time, 'UTC')) AS hour,
    toUInt64(0) AS calls, toUInt64(0) AS errors,
    sum(reinterpretAsUInt64(toInt64(isNull(new_cost)) - toInt64(isNull(old_cost)))) AS unpriced,
    toUInt64(0) AS input_tokens, toUInt64(0) AS output_tokens,
    sum(toDecimal128(ifNull(new_cost, 0), 9) - toDecimal128(ifNull(old_cost, 0), 9)) AS cost,
    sum(toDecimal128(ifNull(new_saved, 0), 9) - toDecimal128(ifNull(old_saved, 0), 9)) AS saved,
    toFloat64(0) AS gpu_seconds
FROM repricings
GROUP BY project, team, hour;

CREATE MATERIALIZED VIEW IF NOT EXISTS cost_day_of_repricings TO cost_day AS
SELECT
    project, team, toDate(start_time, 'UTC') AS day, provider, model, purpose,
    toUInt64(0) AS calls, toUInt64(0) AS errors,
    sum(reinterpretAsUInt64(toInt64(isNull(new_cost)) - toInt64(isNull(old_cost)))) AS unpriced,
    toUInt64(0) AS input_tokens, toUInt64(0) AS output_tokens,
    sum(toDecimal128(ifNull(new_cost, 0), 9) - toDecimal128(ifNull(old_cost, 0), 9)) AS cost,
    sum(toDecimal128(ifNull(new_saved, 0), 9) - toDecimal128(ifNull(old_saved, 0), 9)) AS saved,
    toFloat64(0) AS gpu_seconds
FROM repricings
GROUP BY project, team, day, provider, model, purpose;
