"""A charge in; its FOCUS columns out, with the nulls that the specification asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal, localcontext
from typing import Any

from .charges import METERS, Charge
from .columns import COLUMNS

Row = dict[str, Any]

_PRICE = Decimal(
    "0.000000000000000000000001"
)  # 24 digits: a token's price times a quadrillion of them is exact to 1e-9
_SELF_HOSTED = "Self-hosted"


def row_of(charge: Charge, project: str) -> Row:
    """Every column of one charge; dates as ``YYYY-MM-DDT00:00:00Z``, money as Decimal, unknown as None."""
    row: Row = dict.fromkeys(COLUMNS)
    row |= (
        _account(charge, project)
        | _time(charge)
        | _what(charge)
        | _price(charge)
        | _sku(charge)
        | _ours(charge)
    )
    return row


def _account(charge: Charge, project: str) -> Row:
    account = charge.group["organisation"] or project
    return {
        "BillingAccountId": account,
        "BillingAccountName": account,
        "BillingAccountType": "Organisation" if charge.group["organisation"] else "Project",
        "BillingCurrency": "USD",
        "SubAccountId": project,
        "SubAccountName": project,
        "SubAccountType": "Project",
        # Provisional: ours until the vendor's own is imported.
        "InvoiceId": f"{project}-{charge.period.billing:%Y-%m}",
    }


def _time(charge: Charge) -> Row:
    billing = charge.period.billing
    return {
        "BillingPeriodStart": _moment(billing),
        "BillingPeriodEnd": _moment((billing + timedelta(days=32)).replace(day=1)),
        "ChargePeriodStart": _moment(charge.period.start),
        "ChargePeriodEnd": _moment(charge.period.end),
    }


def _what(charge: Charge) -> Row:
    group = charge.group
    adjusted = charge.quantity is None or charge.cost < 0
    pool = group["gpu_pool"]
    vendor = _SELF_HOSTED if pool else group["provider"] or "Unknown"
    return {
        "ChargeCategory": "Adjustment" if adjusted else "Usage",
        "ChargeClass": "Correction" if charge.is_correction else None,
        "ChargeDescription": _description(charge),
        "ChargeFrequency": "One-Time" if adjusted else "Usage-Based",
        "InvoiceIssuerName": vendor,
        "ProviderName": vendor,
        "PublisherName": vendor,
        "RegionId": group["region"] or None,
        "RegionName": group["region"] or None,
        "ResourceId": f"gpu_pool/{pool}" if pool else None,
        "ResourceName": pool or None,
        "ResourceType": "GPU Pool" if pool else None,
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": "GPU Pools" if pool else f"{vendor} Models",
        "ServiceSubcategory": "AI Platforms" if pool else "Generative AI",
    }


def _description(charge: Charge) -> str:
    group = charge.group
    subject = (
        " ".join(part for part in (group["provider"], group["model"]) if part) or group["gpu_pool"] or "spend"
    )
    words = f"{METERS[charge.meter]} of {subject}"
    if charge.meter == "adjustment":
        words = f"Adjustment ({group['line'] or 'manual'}) of {subject}"
    if charge.unpriced:
        words += f"; {charge.unpriced} calls without a known price are not in the cost"
    return words


def _price(charge: Charge) -> Row:
    """Costs and unit prices. A quantity of nothing, and what is no usage, has no unit price."""
    cost, listed = charge.cost, charge.list_cost if charge.list_cost is not None else charge.cost
    row: Row = {
        "BilledCost": cost,
        "EffectiveCost": cost,
        "ContractedCost": cost,
        "ListCost": listed,
        "PricingCurrency": "USD",
        "PricingCurrencyEffectiveCost": cost,
    }
    if charge.quantity is None or cost < 0:
        return row | {"PricingCategory": "Other", "ListCost": cost}
    quantity, unit = charge.quantity, charge.unit
    if not quantity and (cost or listed):
        quantity, unit = Decimal(max(1, charge.calls)), "Requests"
    prices = {name: _per_unit(amount, quantity) for name, amount in (("Contracted", cost), ("List", listed))}
    return row | {
        "PricingCategory": "Standard",
        "ConsumedQuantity": quantity,
        "ConsumedUnit": unit,
        "PricingQuantity": quantity,
        "PricingUnit": unit,
        "ContractedUnitPrice": prices["Contracted"],
        "ListUnitPrice": prices["List"],
        "PricingCurrencyContractedUnitPrice": prices["Contracted"],
        "PricingCurrencyListUnitPrice": prices["List"],
    }


def _per_unit(amount: Decimal, quantity: Decimal) -> Decimal:
    if not quantity:
        return Decimal(0)
    with localcontext() as context:
        context.prec = 60
        return (amount / quantity).quantize(_PRICE)


def _sku(charge: Charge) -> Row:
    group = charge.group
    if charge.quantity is None or charge.cost < 0:
        return {}
    owner = f"gpu_pool/{group['gpu_pool']}" if group["gpu_pool"] else group["provider"] or "unknown"
    sku = "/".join(part for part in (owner, group["model"], charge.meter) if part)
    tier = group["service_tier"] or "standard"
    return {
        "SkuId": sku,
        "SkuMeter": METERS[charge.meter],
        "SkuPriceId": f"{sku}/{tier}",
        "SkuPriceDetails": _json({"x_ServiceTier": tier, "x_Model": group["model"] or None}),
    }


def _ours(charge: Charge) -> Row:
    group = charge.group
    tags = {
        "team": group["team"], "feature": group["feature"], "customer": group["customer_id"],
        "environment": group["environment"], "service": group["service"], "prompt": group["prompt_name"],
    }  # fmt: skip
    return {
        "Tags": _json({name: value for name, value in tags.items() if value}),
        "x_Category": group["category"],
        "x_Team": group["team"],
        "x_Feature": group["feature"],
        "x_CustomerId": group["customer_id"],
        "x_KeyId": group["key_id"],
        "x_Route": group["route"],
        "x_Model": group["model"],
        "x_Upstream": group["upstream"],
        "x_GpuPool": group["gpu_pool"],
        "x_Purpose": group["purpose"],
        "x_ServiceTier": group["service_tier"],
        "x_Environment": group["environment"],
        "x_Line": group["line"],
        "x_Calls": charge.calls,
        "x_UnpricedCalls": charge.unpriced,
        "x_CostSaved": charge.saved,
        "x_MonthClosed": "true" if charge.period.closed else "false",
    }


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _moment(day: date) -> str:
    return f"{day.isoformat()}T00:00:00Z"
