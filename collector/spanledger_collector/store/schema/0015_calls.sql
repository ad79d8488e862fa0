-- What pages tell of many days, summed when spans arrive. Both go with the spans (`retention`): a page never counts calls
-- that its list no longer has.

-- How many calls, how fast, how they ended, by hour. A call is what `reads/rules.py` says: billable, or a request that failed
-- before any model answered. Few keys, so that the sketches stay few.
CREATE TABLE IF NOT EXISTS call_hour (
    project LowCardinality(String),
    hour DateTime('UTC'),
    billable Bool,
    status LowCardinality(String),
    cache LowCardinality(String),
    calls SimpleAggregateFunction(sum, UInt64),
    saved SimpleAggregateFunction(sum, Decimal(38, 9)), -- USD that cache hits did not cost
    unsaved SimpleAggregateFunction(sum, UInt64), -- hits of which nobody knows that
    duration AggregateFunction(quantilesDD(0.005, 0.5, 0.95), Float64), -- ns
    ttft AggregateFunction(quantilesDD(0.005, 0.5, 0.95), Float64) -- ns, of calls that streamed
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (project, hour, billable, status, cache)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS call_hour_mv TO call_hour AS
SELECT
    project, toStartOfHour(toDateTime(start_time, 'UTC')) AS hour, billable, status, cache,
    count() AS calls,
    sum(toDecimal128(ifNull(cost_saved, 0), 9)) AS saved,
    countIf(cache IN ('exact', 'semantic') AND cost_saved IS NULL) AS unsaved,
    quantilesDDState(0.005, 0.5, 0.95)(toFloat64(duration_ns)) AS duration,
    quantilesDDStateIf(0.005, 0.5, 0.95)(toFloat64(ifNull(ttft_ns, 0)), ttft_ns IS NOT NULL) AS ttft
FROM spans
WHERE billable OR (status = 'error' AND billable_reason = 'request of a gateway; see its attempts')
GROUP BY project, hour, billable, status, cache;

-- The same calls by day and by what lists of them are filtered by.
CREATE TABLE IF NOT EXISTS call_day (
    project LowCardinality(String),
    day Date,
    billable Bool,
    status LowCardinality(String),
    model LowCardinality(String),
    team LowCardinality(String),
    route LowCardinality(String),
    cache LowCardinality(String),
    calls SimpleAggregateFunction(sum, UInt64),
    saved SimpleAggregateFunction(sum, Decimal(38, 9)),
    unsaved SimpleAggregateFunction(sum, UInt64)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (project, day, billable, status, model, team, route, cache)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS call_day_mv TO call_day AS
SELECT
    project, toDate(start_time, 'UTC') AS day, billable, status,
    if(response_model = '', request_model, response_model) AS model, team, route, cache,
    count() AS calls,
    sum(toDecimal128(ifNull(cost_saved, 0), 9)) AS saved,
    countIf(cache IN ('exact', 'semantic') AND cost_saved IS NULL) AS unsaved
FROM spans
WHERE billable OR (status = 'error' AND billable_reason = 'request of a gateway; see its attempts')
GROUP BY project, day, billable, status, model, team, route, cache;

-- Who talked on a day: one row a user and one a session, over all their spans.
CREATE TABLE IF NOT EXISTS person_day (
    project LowCardinality(String),
    day Date,
    who LowCardinality(String), -- user_id | session_id
    id String,
    calls SimpleAggregateFunction(sum, UInt64), -- billable
    errors SimpleAggregateFunction(sum, UInt64), -- of all spans
    unpriced SimpleAggregateFunction(sum, UInt64),
    cost SimpleAggregateFunction(sum, Decimal(38, 9)),
    first SimpleAggregateFunction(min, DateTime64(9, 'UTC')),
    last SimpleAggregateFunction(max, DateTime64(9, 'UTC')),
    traces AggregateFunction(uniqCombined64(14), FixedString(16)),
    sessions AggregateFunction(uniqCombined64(14), String), -- of a user
    users SimpleAggregateFunction(groupUniqArrayArray(10), Array(String)) -- of a session
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (project, day, who, id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS person_day_mv TO person_day AS
SELECT
    project, toDate(start_time, 'UTC') AS day, who, id,
    countIf(billable) AS calls, countIf(status = 'error') AS errors,
    countIf(billable AND cost_total IS NULL) AS unpriced,
    sum(toDecimal128(ifNull(cost_total, 0), 9)) AS cost,
    min(start_time) AS first, max(start_time) AS last,
    uniqCombined64State(14)(trace_id) AS traces,
    uniqCombined64StateIf(14)(session_id, who = 'user_id' AND session_id != '') AS sessions,
    groupUniqArrayIf(10)(user_id, who = 'session_id' AND user_id != '') AS users
FROM spans ARRAY JOIN ['user_id', 'session_id'] AS who, [user_id, session_id] AS id
WHERE id != ''
GROUP BY project, day, who, id;
