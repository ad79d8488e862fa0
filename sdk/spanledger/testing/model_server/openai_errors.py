"""OpenAI's and vLLM's refusals: a problem in, the JSON body the real server answers out."""

from __future__ import annotations

from spanledger.testing.model_server.behaviour import Behaviour
from spanledger.testing.model_server.jsons import Json
from spanledger.testing.model_server.protocol import Problem, sse

_TYPES = {401: "invalid_request_error", 429: "rate_limit_error", 503: "service_unavailable_error"}
_VLLM_TYPES = {
    400: "BadRequestError",
    401: "Unauthorized",
    404: "NotFoundError",
    429: "TooManyRequests",
    500: "InternalServerError",
    503: "ServiceUnavailable",
}
_MESSAGES = {
    429: "Rate limit reached for requests. Please slow down.",
    500: "The server had an error while processing your request. Sorry about that!",
    503: "The engine is currently overloaded, please try again later.",
}


def error(problem: Problem, behaviour: Behaviour) -> Json:
    """The body of a refusal, in the words of the flavour."""
    if behaviour.flavour == "vllm":
        if problem.status == 401:
            return {"error": "Unauthorized"}
        kind = _VLLM_TYPES.get(problem.status, "InternalServerError")
        shape: Json = {"message": problem.message, "type": kind, "param": problem.param}
        return {"error": {**shape, "code": problem.status}}
    kind = _TYPES.get(problem.status, "server_error" if problem.status >= 500 else "invalid_request_error")
    return {"error": {"message": problem.message, "type": kind, "param": problem.param, "code": problem.code}}


def simulated(status: int) -> Problem:
    """The problem a server reports when it fails with this status by itself."""
    codes = {429: "rate_limit_exceeded", 401: "invalid_api_key"}
    return Problem(status, _MESSAGES.get(status, f"The server answered {status}."), codes.get(status))


def unauthorised(given: str) -> Problem:
    """No key, or a wrong one."""
    if not given:
        return Problem(
            401,
            "You didn't provide an API key. You need to provide your API key in an Authorization header "
            "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
        )
    shown = f"{given[:4]}***{given[-4:]}" if len(given) > 8 else "***"
    return Problem(401, f"Incorrect API key provided: {shown}.", "invalid_api_key")


def unknown_model(model: str, behaviour: Behaviour) -> Problem:
    """A model that is not served here."""
    if behaviour.flavour == "vllm":
        return Problem(404, f"The model `{model}` does not exist.", param="model")
    message = f"The model `{model}` does not exist or you do not have access to it."
    return Problem(404, message, "model_not_found")


def too_long(prompt: int, limit: int) -> Problem:
    """A prompt beyond the model's context."""
    message = (
        f"This model's maximum context length is {limit} tokens. However, your messages resulted in "
        f"{prompt} tokens. Please reduce the length of the messages."
    )
    return Problem(400, message, "context_length_exceeded", "messages")


def missing(name: str) -> Problem:
    """A required parameter that is not there."""
    return Problem(400, f"Missing required parameter: '{name}'.", "missing_required_parameter", name)


def wrong_type(name: str, expected: str, got: str) -> Problem:
    """A parameter of the wrong type."""
    return Problem(
        400, f"Invalid type for '{name}': expected {expected}, but got {got} instead.", "invalid_type", name
    )


def wrong_value(name: str, message: str) -> Problem:
    """A parameter of the right type whose value is not allowed."""
    return Problem(400, f"Invalid '{name}': {message}", "invalid_value", name)


def error_event(behaviour: Behaviour) -> bytes:
    """An error in the middle of a stream: a data event without a name."""
    return sse(error(simulated(500), behaviour))
