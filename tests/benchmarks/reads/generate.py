"""Rows for reading: calls of several projects over 90 days, made inside the engine and inserted as batches."""

from __future__ import annotations

from spanledger_collector.store.clickhouse import Client

DAYS = 90
PROJECTS = 3
TEAMS = 12
BATCH = 250_000

_WORDS = (
    "['refund','policy','order','the','customer','shipping','is','invoice','number','within','days','please',"
    "'account','reset','password','a','of','to','for','warranty','battery','replace','return','label','email',"
    "'support','ticket','delay','courier','address','change','payment','card','declined','retry','plan','upgrade',"
    "'annual','monthly','discount']"
)
_TEXT = (
    "arrayStringConcat(arrayMap(i -> {words}[1 + (cityHash64(number, {salt}, i) % 40)], range({count})), ' ')"
)

# A session is three traces, five minutes apart. Every number comes from a hash of the row's number, so the same rows come out each time.
_ROWS = """
INSERT INTO spans (
    project, team, feature, user_id, session_id, key_id, trace_id, span_id, parent_span_id, start_time,
    duration_ns, ttft_ns, name, operation, kind, status, provider, request_model, response_model, input_tokens,
    output_tokens, billable, cost_input, cost_output, cost_total, route, upstream, cache, service, input, output
)
SELECT
    concat('p', toString(trace % {projects:UInt32})), concat('team-', toString(cityHash64(trace) % {teams:UInt32})),
    concat('feature-', toString(cityHash64(trace, 7) % 20)), concat('user-', toString(cityHash64(trace, 1) % 20000)),
    concat('session-', toString(intDiv(trace, 3))), 'k1',
    unhex(leftPad(hex(cityHash64(trace, 2)), 32, '0')), unhex(leftPad(hex(cityHash64(number, 3)), 16, '0')),
    if(number % 4 = 0, '', unhex(leftPad(hex(cityHash64(number - number % 4, 3)), 16, '0'))),
    fromUnixTimestamp64Nano(toInt64({end:Int64} - (cityHash64(intDiv(trace, 3), 4) % ({days:UInt32} * 86400)
        + (2 - trace % 3) * 300) * 1000000000 + (number % 4) * 1000000), 'UTC'),
    50000000 + cityHash64(number, 5) % 3000000000, if(model_call, 20000000 + cityHash64(number, 6) % 400000000, NULL),
    if(model_call, concat('chat ', model), 'step'), if(model_call, 'chat', ''), 'client',
    if(cityHash64(number, 8) % 50 = 0, 'error', 'ok'), if(model_call, 'openai', ''),
    if(model_call, model, ''), if(model_call, model, ''),
    if(model_call, 200 + cityHash64(number, 10) % 4000, NULL), if(model_call, 20 + cityHash64(number, 11) % 500, NULL),
    model_call, if(model_call, toDecimal64(cityHash64(number, 12) % 10000, 9) / 1000000, NULL),
    if(model_call, toDecimal64(cityHash64(number, 13) % 10000, 9) / 1000000, NULL),
    if(model_call, (toDecimal64(cityHash64(number, 12) % 10000, 9) + toDecimal64(cityHash64(number, 13) % 10000, 9))
        / 1000000, NULL),
    if(model_call, concat('route-', toString(cityHash64(trace, 14) % 5)), ''), if(model_call, 'openai', ''),
    if(model_call, 'miss', ''), 'shop', TEXT_IN, TEXT_OUT
FROM (
    SELECT number, intDiv(number, 4) AS trace, number % 2 = 1 AS model_call,
        ['gpt-4o', 'gpt-4o-mini', 'claude-sonnet-4-5', 'llama-3.1-8b'][1 + cityHash64(number, 9) % 4] AS model
    FROM numbers({from:UInt64}, {count:UInt64})
)
"""


def generate(
    client: Client,
    rows: int,
    end_ns: int,
    words_in: int = 150,
    words_out: int = 40,
    *,
    days: int = DAYS,
    projects: int = PROJECTS,
) -> None:
    """Insert ``rows`` spans that end at ``end_ns``; half of them are billable calls, four make a trace."""
    sql = _ROWS.replace("TEXT_IN", _text("'in'", words_in)).replace("TEXT_OUT", _text("'out'", words_out))
    for first in range(0, rows, BATCH):
        client.command(
            sql,
            parameters={
                "from": first,
                "count": min(BATCH, rows - first),
                "end": end_ns,
                "days": days,
                "projects": projects,
                "teams": TEAMS,
            },
            settings={"max_partitions_per_insert_block": 1000, "max_execution_time": 0},
        )


def _text(salt: str, count: int) -> str:
    made = _TEXT.replace("{words}", _WORDS).replace("{salt}", salt).replace("{count}", str(count))
    return f"if(model_call, {made}, '')" if count else "''"
