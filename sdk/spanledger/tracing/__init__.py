"""OpenTelemetry's tracing API over the recorder: spans, tracers, and joining an SDK that is there already."""
