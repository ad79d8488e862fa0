"""The attribute vocabulary: every name a Spanledger process writes on a span.

OpenTelemetry's ``gen_ai.*`` where it has a term, ``spanledger.*`` where it has none. The gen_ai
conventions are unstable, so the names stand here instead of being imported; what other
instrumentations call them is the collector's mapping table, not this module.
"""

# OpenTelemetry GenAI
OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_ID = "gen_ai.response.id"
FINISH_REASONS = "gen_ai.response.finish_reasons"
TEMPERATURE = "gen_ai.request.temperature"
TOP_P = "gen_ai.request.top_p"
MAX_TOKENS = "gen_ai.request.max_tokens"
SEED = "gen_ai.request.seed"
STREAM = "gen_ai.request.stream"
TTFT_S = "gen_ai.response.time_to_first_chunk"  # seconds
INPUT_TOKENS = "gen_ai.usage.input_tokens"  # includes cached tokens, as the convention says
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"  # includes reasoning tokens
CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS = "gen_ai.usage.cache_write.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
INPUT_MESSAGES = "gen_ai.input.messages"  # JSON; OpenAI's or OpenTelemetry's message shape
OUTPUT_MESSAGES = "gen_ai.output.messages"  # JSON
SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"
TOOL_NAME = "gen_ai.tool.name"
AGENT_NAME = "gen_ai.agent.name"
CONVERSATION_ID = "gen_ai.conversation.id"
RETRIEVAL_DOCUMENTS = "gen_ai.retrieval.documents"  # JSON list
OPENAI_SERVICE_TIER = "openai.response.service_tier"
USER_ID = "user.id"
SESSION_ID = "session.id"
ERROR_TYPE = "error.type"
REGION = "spanledger.region"  # where the provider served it: some charge by it
SERVER_ADDRESS = "server.address"
SERVICE_NAME = "service.name"  # resource
SERVICE_VERSION = "service.version"  # resource
ENVIRONMENT = "deployment.environment.name"  # resource

# Spanledger
STATUS = "spanledger.status"  # ok | error | cut | cancelled
INPUT = "spanledger.input"  # JSON of a function's arguments
OUTPUT = "spanledger.output"  # JSON of its result
JSON_TEXTS = frozenset((INPUT, OUTPUT))  # texts that may be kept as UTF-8 until a span is encoded
INPUT_AUDIO_TOKENS = "spanledger.usage.input_audio_tokens"
OUTPUT_AUDIO_TOKENS = "spanledger.usage.output_audio_tokens"
INPUT_IMAGE_TOKENS = "spanledger.usage.input_image_tokens"
OUTPUT_IMAGE_TOKENS = "spanledger.usage.output_image_tokens"
IMAGE_UNITS = "spanledger.usage.image_units"
WEB_SEARCHES = "spanledger.usage.web_searches"
CACHE_WRITE_1H_TOKENS = "spanledger.usage.cache_write_1h_tokens"
USAGE_ESTIMATED = "spanledger.usage.estimated"
PROJECT = "spanledger.project"  # whose call it is; obeyed only from a key with scope admin: the gateway's own
TEAM = "spanledger.team"
ORGANISATION = "spanledger.organisation"
FEATURE = "spanledger.feature"
CUSTOMER_ID = "spanledger.customer_id"
TAGS = "spanledger.tags"
METADATA = "spanledger.metadata"  # prefix: spanledger.metadata.<key>
PURPOSE = "spanledger.purpose"
# Purposes of calls that a gateway makes by itself, below a request.
BESIDE = frozenset(("cache_check", "cache_embed", "shadow"))
TPOT_NS = "spanledger.tpot_ns"
CACHE = "spanledger.cache"
CACHE_ENTRY = "spanledger.cache.entry"
CACHE_SIMILARITY = "spanledger.cache.similarity"
CACHE_AGE_NS = "spanledger.cache.age_ns"
CACHE_CANDIDATE = "spanledger.cache.candidate"  # the entry that would have answered, had the tier been open
CACHE_CANDIDATE_SIMILARITY = "spanledger.cache.candidate_similarity"
CACHE_CANDIDATE_TRACE = "spanledger.cache.candidate_trace"  # the call that paid for the entry
CACHE_CANDIDATE_SPAN = "spanledger.cache.candidate_span"
CACHE_PARTITION = "spanledger.cache.partition"
CACHE_GROUP = "spanledger.cache.group"  # what one certificate covers
CACHE_AUDIT_OF_TRACE = (
    "spanledger.cache.audit_of_trace"  # the hit that a call with purpose cache_check repeats
)
CACHE_AUDIT_OF_SPAN = "spanledger.cache.audit_of_span"
COST_SAVED = "spanledger.cost.saved"  # decimal string, USD
REQUEST_API = "spanledger.request.api"  # chat | responses | messages | embeddings: in which the caller asked
REQUEST_FIELDS = "spanledger.request.fields"  # what changes the answer and stands on no span, by name
ROUTE = "spanledger.route"
UPSTREAM = "spanledger.upstream"
ATTEMPT = "spanledger.attempt"
FALLBACK_FROM = "spanledger.fallback_from"
ROUTE_REASON = "spanledger.route.reason"
KEY_ID = "spanledger.key_id"
BILLABLE = "spanledger.billable"  # false: this span repeats what another span bills
BILLABLE_REASON = "spanledger.billable_reason"
REASON_REQUEST = "request of a gateway; see its attempts"  # the reason a gateway's request span gives
GPU_POOL = "spanledger.gpu_pool"
ENGINE_RUNNING = "spanledger.engine.running"
ENGINE_WAITING = "spanledger.engine.waiting"
ENGINE_KV_USAGE = "spanledger.engine.kv_usage"
ENGINE_PREFIX_HITS = "spanledger.engine.prefix_hits"
PROMPT_NAME = "spanledger.prompt.name"
PROMPT_VERSION = "spanledger.prompt.version"
PROMPT_LABEL = "spanledger.prompt.label"
EXPERIMENT = "spanledger.experiment"
SAMPLE_RATE = "spanledger.sample_rate"  # the share of such spans that was kept
TRUNCATED = "spanledger.truncated"  # names of fields that were cut
REDACTIONS = "spanledger.redactions"  # how many places were replaced before the span left
# A score rides as an OpenTelemetry event of this name on the span it is about.
EVALUATION_EVENT = "gen_ai.evaluation.result"
SCORE_NAME = "gen_ai.evaluation.name"
SCORE_VALUE = "gen_ai.evaluation.score.value"
SCORE_LABEL = "gen_ai.evaluation.score.label"
SCORE_EXPLANATION = "gen_ai.evaluation.explanation"

# HTTP headers
HEADER_TRACE_ID = "x-spanledger-trace-id"
HEADER_CACHE = "x-spanledger-cache"
HEADER_CACHE_ENTRY = "x-spanledger-cache-entry"
HEADER_UPSTREAM = "x-spanledger-upstream"
HEADER_COST = "x-spanledger-cost"
HEADER_FALLBACK = "x-spanledger-fallback"
# A caller may name these on a request to the gateway; each becomes the attribute of that name.
REQUEST_HEADERS = {
    "x-spanledger-user": USER_ID,
    "x-spanledger-session": SESSION_ID,
    "x-spanledger-feature": FEATURE,
    "x-spanledger-customer": CUSTOMER_ID,
    "x-spanledger-tags": TAGS,
    "x-spanledger-purpose": PURPOSE,
    "x-spanledger-experiment": EXPERIMENT,
    "x-spanledger-prompt": PROMPT_NAME,  # name@version or name@label
}
