"""What is known of a vendor's bills: invoice_source."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator

from .fields import Document, Money, Text

BillField = Literal[
    "day", "account", "key", "model", "tier", "token_type", "tokens", "amount", "currency", "description",
    "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens",
]  # fmt: skip


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ValueError(
            "name a time zone of the IANA database, such as UTC or America/Los_Angeles"
        ) from None
    return value


class InvoiceSource(Document):
    """A vendor's bills: their format, time zone and currency, and whose names for models and accounts are whose.

    ``provider``: as our calls name it, several by commas. ``columns`` maps our fields to the columns of any other CSV;
    ``only`` keeps rows of a cloud's FOCUS file; ``rates`` are USD for one unit of another currency; ``account_is`` says which of our
    dimensions the vendor's accounts and keys stand for, by the names in ``accounts``.
    """

    provider: str = ""
    format: Literal["auto", "openai", "anthropic", "focus", "generic"] = "auto"
    time_zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    amounts_in: Literal["units", "cents"] = "units"
    decimal_comma: bool = False
    columns: dict[BillField, Text] = Field(default_factory=dict[BillField, str])
    token_types: dict[str, Text] = Field(default_factory=dict[str, str])
    only: dict[str, Text] = Field(default_factory=dict[str, str])
    models: dict[str, Text] = Field(default_factory=dict[str, str])
    accounts: dict[str, Text] = Field(default_factory=dict[str, str])
    account_is: Literal["", "upstream", "key_id", "team"] = ""
    rates: dict[Annotated[str, Field(pattern=r"^[A-Z]{3}$")], Money] = Field(
        default_factory=dict[str, Decimal]
    )
    tolerance: Money = Decimal(0)

    @model_validator(mode="after")
    def _mapping_has_a_day(self) -> Self:
        if self.format == "generic" and "day" not in self.columns:
            raise ValueError("a generic file needs columns, at least day and amount or tokens")
        if self.accounts and not self.account_is:
            raise ValueError("accounts need account_is: what the vendor's accounts stand for here")
        return self


MODELS: dict[str, type[Document]] = {"invoice_source": InvoiceSource}
