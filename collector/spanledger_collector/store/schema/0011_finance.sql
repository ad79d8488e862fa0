-- Forecasts as the worker last fitted them: what pages show without fitting anything.
CREATE TABLE IF NOT EXISTS forecasts (
    project LowCardinality(String),
    subject String, -- empty: the whole project; budget:NAME
    time DateTime64(3, 'UTC'),
    period_start Date,
    method LowCardinality(String), -- model | days | none
    days UInt32, -- whole days of history it rests on
    spent Decimal(38, 12), -- of the period, at `time`
    at_end Nullable(Float64), -- USD; NULL where nothing can be said
    low Nullable(Float64), -- 90 % interval
    high Nullable(Float64),
    amount Nullable(Decimal(38, 12)), -- of the budget
    reached Nullable(Date), -- when the amount is expected to be used up
    earliest Nullable(Date), -- the same at the interval's upper end
    ahead String CODEC(ZSTD(3)) -- JSON: the coming days, summed up
)
ENGINE = ReplacingMergeTree(time)
ORDER BY (project, subject)
SETTINGS non_replicated_deduplication_window = 10000;

-- An import of a vendor's file: what it was and what it held. Its lines stand in invoice_lines.
CREATE TABLE IF NOT EXISTS invoice_imports (
    project LowCardinality(String),
    import_id String,
    source LowCardinality(String),
    time DateTime64(9, 'UTC'),
    author LowCardinality(String),
    file String,
    format LowCardinality(String),
    sha256 String,
    decimals UInt8, -- of the most exact amount
    lines UInt32,
    first_day Date,
    last_day Date,
    amounts String, -- JSON: total by currency
    left_out String, -- JSON: rows by the reason they were not taken
    warnings Array(String),
    withdrawn Bool -- whether the import no longer counts
)
ENGINE = ReplacingMergeTree(time)
ORDER BY (project, source, import_id)
SETTINGS non_replicated_deduplication_window = 10000;
