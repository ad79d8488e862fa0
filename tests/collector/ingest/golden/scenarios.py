"""Run one scenario under one instrumentation: ``python scenarios.py FAMILY SCENARIO``.

Runs in an environment of its own that knows neither the product nor the tests; see ``record.py``.
"""

import json
import os
import sys

URL = os.environ["MODEL_URL"]
QUESTION = "What is the capital of France? Answer in one sentence."
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather in a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


def provider():
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    made = TracerProvider()
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(made)
    return made


def set_up(family):
    """Instrument; the answer is what to call at the end so that everything is sent."""
    kind, _, client = family.partition("_")
    if kind == "langfuse":
        import langfuse

        return langfuse.get_client().flush
    if kind == "logfire":
        import logfire
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        logfire.configure(
            send_to_logfire=False,
            console=False,
            additional_span_processors=[BatchSpanProcessor(OTLPSpanExporter())],
        )
        getattr(logfire, "instrument_" + client)()
        return logfire.force_flush
    if kind == "mlflow":
        import mlflow

        mlflow.openai.autolog()
        return lambda: mlflow.flush_trace_async_logging()
    made = provider()
    if kind == "openinference":
        import importlib

        module = importlib.import_module("openinference.instrumentation." + client)
        getattr(
            module, {"openai": "OpenAIInstrumentor", "anthropic": "AnthropicInstrumentor"}[client]
        )().instrument()
    elif kind in ("otel", "traceloop"):
        import importlib

        name = "opentelemetry.instrumentation." + ("genai." if kind == "otel" else "") + client
        module = importlib.import_module(name)
        getattr(
            module, {"openai": "OpenAIInstrumentor", "anthropic": "AnthropicInstrumentor"}[client]
        )().instrument()
    return made.force_flush


def openai_client(family):
    if family.startswith("langfuse"):
        from langfuse.openai import OpenAI
    else:
        from openai import OpenAI
    return OpenAI(base_url=URL, api_key="any", max_retries=0)


MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}]


def chat(family):
    answer = openai_client(family).chat.completions.create(
        model="gpt-4o", messages=MESSAGES, temperature=0.5, max_tokens=50, seed=3
    )
    return [answer.usage.model_dump()]


def stream(family):
    chunks = openai_client(family).chat.completions.create(
        model="gpt-4o", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    return [chunk.usage.model_dump() for chunk in chunks if chunk.usage]


def tools(family):
    answer = openai_client(family).chat.completions.create(model="gpt-4o", messages=MESSAGES, tools=TOOLS)
    return [answer.usage.model_dump()]


def responses(family):
    answer = openai_client(family).responses.create(model="gpt-4o", instructions="Be brief.", input=QUESTION)
    return [answer.usage.model_dump()]


def embeddings(family):
    answer = openai_client(family).embeddings.create(
        model="text-embedding-3-small", input=[QUESTION, "second"]
    )
    return [answer.usage.model_dump()]


def failure(family):
    import openai

    try:
        openai_client(family).chat.completions.create(model="gpt-4o", messages=MESSAGES)
    except openai.RateLimitError as wrong:
        print("failed as it should:", type(wrong).__name__)
    return []


def anthropic_client():
    import anthropic

    return anthropic.Anthropic(base_url=URL.removesuffix("/v1"), api_key="any", max_retries=0)


ASK = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 100,
    "system": "Be brief.",
    "messages": [{"role": "user", "content": QUESTION}],
}


def messages(family):
    return [anthropic_client().messages.create(**ASK).usage.model_dump()]


def messages_stream(family):
    with anthropic_client().messages.stream(**ASK) as events:
        for _ in events:
            pass
        return [events.get_final_message().usage.model_dump()]


def main():
    family, scenario = sys.argv[1:]
    finish = set_up(family)
    usage = globals()[scenario](family)
    finish()
    with open(os.environ["USAGE_FILE"], "w") as file:
        json.dump(usage, file)


main()
