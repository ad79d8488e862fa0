-- One row per finished span; immutable, append only. Column names are the fields of CallRecord.
-- NULL is unknown. Deduplication is by content token (non_replicated_deduplication_window) and by
-- (trace_id, span_id) in the writer.
CREATE TABLE IF NOT EXISTS spans (
    organisation LowCardinality(String),
    project LowCardinality(String),
    team LowCardinality(String),
    feature LowCardinality(String),
    customer_id String,
    user_id String,
    session_id String,
    key_id LowCardinality(String),
    tags Array(LowCardinality(String)),

    trace_id FixedString(16),
    span_id FixedString(8),
    parent_span_id String, -- empty for a root, else 8 bytes

    start_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    duration_ns UInt64 CODEC(T64, ZSTD(1)),
    ttft_ns Nullable(UInt64) CODEC(T64, ZSTD(1)),
    tpot_ns Nullable(UInt64) CODEC(T64, ZSTD(1)),
    queue_ns Nullable(UInt64) CODEC(T64, ZSTD(1)),
    streaming Bool,
    inserted_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') CODEC(Delta(8), ZSTD(1)), -- the planners' watermark

    name LowCardinality(String),
    operation LowCardinality(String),
    kind LowCardinality(String),
    status LowCardinality(String),
    status_message String,
    error_type LowCardinality(String),
    purpose LowCardinality(String),

    provider LowCardinality(String),
    request_model LowCardinality(String),
    response_model LowCardinality(String),
    response_id String,
    finish_reason LowCardinality(String),
    service_tier LowCardinality(String),
    temperature Nullable(Float32),
    top_p Nullable(Float32),
    max_tokens Nullable(UInt32),
    seed Nullable(Int64),

    input_tokens Nullable(UInt32) CODEC(T64, ZSTD(1)),
    cache_read_tokens Nullable(UInt32) CODEC(T64, ZSTD(1)),
    cache_write_tokens Nullable(UInt32) CODEC(T64, ZSTD(1)),
    cache_write_1h_tokens Nullable(UInt32) CODEC(T64, ZSTD(1)),
    output_tokens Nullable(UInt32) CODEC(T64, ZSTD(1)),
    reasoning_tokens Nullable(UInt32) CODEC(T64, ZSTD(1)),
    input_audio_tokens Nullable(UInt32) CODEC(T64, ZSTD(1)),
    output_audio_tokens Nullable(UInt32) CODEC(T64, ZSTD(1)),
    image_units Nullable(UInt32) CODEC(T64, ZSTD(1)),
    usage_estimated Bool,

    billable Bool,
    billable_reason LowCardinality(String),
    cost_input Nullable(Decimal(18, 9)),
    cost_cache_read Nullable(Decimal(18, 9)),
    cost_cache_write Nullable(Decimal(18, 9)),
    cost_output Nullable(Decimal(18, 9)),
    cost_reasoning Nullable(Decimal(18, 9)),
    cost_other Nullable(Decimal(18, 9)),
    cost_total Nullable(Decimal(18, 9)),
    cost_saved Nullable(Decimal(18, 9)),
    cost_reported Nullable(Decimal(18, 9)),
    price_source LowCardinality(String),
    price_version LowCardinality(String),

    cache LowCardinality(String),
    cache_entry String,
    cache_similarity Nullable(Float32),
    cache_age_ns Nullable(UInt64),
    route LowCardinality(String),
    upstream LowCardinality(String),
    attempt UInt8,
    fallback_from LowCardinality(String),
    route_reason LowCardinality(String),
    server_address LowCardinality(String),

    gpu_pool LowCardinality(String),
    gpu_seconds Nullable(Float64),
    prefill_ns Nullable(UInt64),
    decode_ns Nullable(UInt64),
    engine_running Nullable(UInt32),
    engine_waiting Nullable(UInt32),
    engine_kv_usage Nullable(Float32),
    engine_prefix_hits Nullable(Float32),

    prompt_name LowCardinality(String),
    prompt_version Nullable(UInt32),
    prompt_label LowCardinality(String),
    experiment LowCardinality(String),
    agent_name LowCardinality(String),
    tool_name LowCardinality(String),
    guard_action LowCardinality(String),
    redactions UInt16,

    service LowCardinality(String),
    service_version LowCardinality(String),
    environment LowCardinality(String),
    sdk LowCardinality(String),
    scope LowCardinality(String),
    dialect LowCardinality(String),

    input String CODEC(ZSTD(3)),
    output String CODEC(ZSTD(3)),
    documents String CODEC(ZSTD(3)),
    attributes Map(LowCardinality(String), String),
    resource Map(LowCardinality(String), String),
    events String CODEC(ZSTD(3)),
    links String CODEC(ZSTD(3)),

    INDEX ix_trace trace_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX ix_session session_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_user user_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_inserted inserted_at TYPE minmax GRANULARITY 1,
    INDEX ix_output lower(output) TYPE text(tokenizer = 'splitByNonAlpha')
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(start_time)
ORDER BY (project, start_time, trace_id)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;
