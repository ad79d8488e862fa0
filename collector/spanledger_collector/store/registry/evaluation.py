"""Documents of evaluation and of what is kept: evaluator, alert, prompt, dataset, retention."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, JsonValue, ValidationInfo, field_validator, model_validator

from .fields import Document, EnvName, Finite, Money, NoneWord, Positive, Text

Days = Annotated[int, Field(ge=1, le=36_500)]


class Judge(Document):
    """The model that judges: through a route of ours, or an upstream directly.

    ``requests_per_minute`` holds for all workers together and for everything that this judge is asked.
    """

    route: str = ""
    upstream: str = ""
    model: str = ""
    requests_per_minute: Annotated[int | None, NoneWord, Field(ge=1)] = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.route) == bool(self.upstream):
            raise ValueError("name either a route or an upstream")
        if self.upstream and not self.model:
            raise ValueError("an upstream needs a model")
        return self


class Stratum(Document):
    """Calls of a kind that are sampled at a rate of their own; ``when`` as an evaluator's ``filter``."""

    when: Annotated[dict[str, str | list[str]], Field(min_length=1)]
    rate: Annotated[float, Field(gt=0, le=1)]


class Evaluator(Document):
    """Which calls are scored, by what, how many of them and for how much money a day.

    A call is sampled at the rate of the first of the ``strata`` that it belongs to, else at ``rate``.

    ``options``: by a scorer's name, what it takes; with ``scorer`` among them, the name is one of your own.
    """

    scorers: Annotated[list[Text], Field(min_length=1)]
    options: dict[Text, dict[str, JsonValue]] = Field(default_factory=dict[str, dict[str, JsonValue]])
    filter: dict[str, str | bool | list[str]] = Field(default_factory=dict[str, str | bool | list[str]])
    rate: Annotated[float, Field(gt=0, le=1)] = 1.0
    strata: Annotated[list[Stratum], Field(max_length=50)] = Field(default_factory=list[Stratum])
    delay_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    daily_cap: Money | None = None
    judge: Judge | None = None

    @field_validator("options")
    @classmethod
    def _for_scorers(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        unused = sorted(set(value) - set(info.data.get("scorers") or value))
        if unused:
            raise ValueError(f"{unused[0]!r} is not among the scorers")
        return value


class Regression(Document):
    """An experiment that is run by itself: on a schedule, and when what it tests changed. Its verdict is an event.

    The route answers the cases of a dataset of the registry, with a prompt (``NAME`` or ``NAME@LABEL``) where one is named;
    each metric is compared, case by case, with the last run that passed, and may lose ``margin`` (by metric: ``margins``).
    ``every`` is run once a day or week from ``at_hour`` UTC on; ``cap`` in USD ends a run's judging.
    """

    dataset: Text
    route: Text
    scorers: Annotated[list[Text], Field(min_length=1)]
    options: dict[str, dict[str, JsonValue]] = Field(default_factory=dict[str, dict[str, JsonValue]])
    judge: Judge | None = None
    prompt: str = ""
    split: str = ""
    limit: Annotated[int | None, NoneWord, Field(ge=2)] = None
    every: Literal["day", "week", "none"] = "day"
    at_hour: Annotated[int, Field(ge=0, le=23)] = 2
    on_change: bool = True
    margin: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.05
    margins: dict[str, Finite] = Field(default_factory=dict[str, float])
    cap: Annotated[Money | None, NoneWord] = None


class Alert(Document):
    """A threshold on a metric. ``channels`` name environment variables that hold Apprise or webhook URLs.

    ``by`` splits it: each user, team, model, ... has an alert of its own. ``no_data`` says what it means when fewer than
    ``min_samples`` calls tell of the metric: ``keep`` the state, ``alert``, or ``resolve``. While it fires it is told
    again every ``renotify_s``, unless somebody acknowledged it.
    """

    metric: Text
    scope: dict[str, str] = Field(default_factory=dict[str, str])
    by: Annotated[list[Text], Field(max_length=3)] = Field(default_factory=list[str])
    op: Literal["<", "<=", ">", ">="] = ">"
    threshold: Finite
    window_s: Positive = 300
    min_samples: Annotated[int, Field(ge=1)] = 20
    no_data: Literal["keep", "alert", "resolve"] = "keep"
    renotify_s: Annotated[float | None, NoneWord, Field(ge=60, allow_inf_nan=False)] = None
    severity: Literal["info", "warning", "critical"] = "warning"
    channels: list[EnvName] = Field(default_factory=list[str])


class Message(Document):
    """One message of a prompt template."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str


class Prompt(Document):
    """A prompt template: a text or messages, with variables written ``{{name}}``, and its labels.

    Each version of the document is a version of the prompt. ``labels`` say which version each label stands
    for, so that moving a label is a versioned change too.
    """

    template: Annotated[str, Field(min_length=1)] | Annotated[list[Message], Field(min_length=1)]
    labels: dict[Text, Annotated[int, Field(ge=1)]] = Field(default_factory=dict[str, int])
    config: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue])


class Dataset(Document):
    """A named set of cases; the evaluators own what a case holds."""

    model_config = ConfigDict(extra="allow")

    description: str = ""
    cases: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])


class Retention(Document):
    """For how long rows are kept, in days; None: for ever."""

    spans_days: Days | None = None
    scores_days: Days | None = None
    events_days: Days | None = None


MODELS: dict[str, type[Document]] = {
    "evaluator": Evaluator,
    "regression": Regression,
    "alert": Alert,
    "prompt": Prompt,
    "dataset": Dataset,
    "retention": Retention,
}
