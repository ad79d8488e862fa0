"""One month of calls, made inside the engine: teams with features of their own, which use models of their own."""

from __future__ import annotations

from datetime import UTC, datetime

from spanledger_collector.store.clickhouse import Client

PROJECT = "shop"
FIRST = datetime(2026, 10, 1, tzinfo=UTC)
DAYS = 31
BATCH = 250_000

# Every number comes from a hash of the row's number, so the same rows come out each time.
_ROWS = """
INSERT INTO spans (
    project, team, feature, customer_id, user_id, session_id, key_id, tags, trace_id, span_id, start_time, duration_ns,
    name, operation, kind, status, purpose, provider, request_model, response_model, service_tier, input_tokens,
    cache_read_tokens, output_tokens, reasoning_tokens, billable, cost_input, cost_output, cost_total, cost_saved,
    price_source, route, upstream, cache, environment, service, gpu_pool, prefill_ns, decode_ns
)
SELECT
    'shop', concat('team-', toString(team)), concat('team-', toString(team), '/f', toString(feature)),
    concat('customer-', toString(team), '-', toString(cityHash64(number, 1) % 60)),
    concat('user-', toString(team), '-', toString(cityHash64(number, 2) % 1000)), concat('session-', toString(intDiv(number, 5))),
    concat('key-', toString(team)), [concat('cc:', toString(team % 7)), if(feature = 0, 'beta', 'stable')],
    unhex(leftPad(hex(cityHash64(number, 3)), 32, '0')), unhex(leftPad(hex(cityHash64(number, 4)), 16, '0')),
    fromUnixTimestamp64Nano(toInt64({start:Int64} + intDiv(number * {days:UInt32} * 86400000000, {rows:UInt64}) * 1000), 'UTC'),
    200000000 + cityHash64(number, 5) % 3000000000, concat('chat ', model), 'chat', 'client',
    if(cityHash64(number, 8) % 50 = 0, 'error', 'ok'), if(feature = 3, 'eval', ''), provider, model, model, '',
    200 + cityHash64(number, 10) % 4000, if(cityHash64(number, 14) % 3 = 0, 1024, 0), 20 + cityHash64(number, 11) % 500,
    cityHash64(number, 16) % 100, true,
    if(hit OR pool != '', NULL, price_in), if(hit OR pool != '', NULL, price_out),
    multiIf(hit, 0, pool != '', NULL, price_in + price_out), if(hit, price_in + price_out, NULL),
    if(hit, 'cache', 'genai-prices'), concat('route-', toString(team % 5)), provider, if(hit, 'exact', 'miss'),
    'production', concat('svc-', toString(team)), if(hit, '', pool),
    if(pool != '', 30000000, NULL), if(pool != '', cityHash64(number, 15) % 2000000000, NULL)
FROM (
    SELECT number, cityHash64(number, 20) % 20 AS team, cityHash64(number, 21) % 4 AS feature,
        ['gpt-4o', 'gpt-5', 'gpt-5-mini', 'claude-sonnet-4-5', 'claude-haiku-4-5', 'gemini-2.5-pro', 'llama-3.3-70b', 'mistral-small-latest']
            [1 + (team * 3 + feature + cityHash64(number, 9) % 2) % 8] AS model,
        multiIf(model LIKE 'gpt%', 'openai', model LIKE 'claude%', 'anthropic', model LIKE 'gem%', 'google',
            model LIKE 'llama%', 'vllm', 'mistral') AS provider,
        if(provider = 'vllm', 'h100', '') AS pool, cityHash64(number, 22) % 10 = 0 AS hit,
        toDecimal64(cityHash64(number, 12) % 10000, 9) / 1000000 AS price_in,
        toDecimal64(cityHash64(number, 13) % 10000, 9) / 1000000 AS price_out
    FROM numbers({from:UInt64}, {count:UInt64})
)
"""


def generate(client: Client, rows: int) -> None:
    """Insert a month of ``rows`` calls, spread evenly."""
    for first in range(0, rows, BATCH):
        client.command(
            _ROWS,
            parameters={
                "from": first,
                "count": min(BATCH, rows - first),
                "start": int(FIRST.timestamp()) * 10**9,
                "days": DAYS,
                "rows": rows,
            },
            settings={"max_execution_time": 0},
        )
