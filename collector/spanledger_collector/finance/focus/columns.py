"""The columns of a FOCUS 1.2 Cost and Usage dataset, and ours after them, with their types.

Those of commitment discounts and capacity reservations, which the ledger does not have, are there and null: rules of other
columns name them.
"""

from __future__ import annotations

from typing import Literal

VERSION = "1.2"

Kind = Literal["text", "decimal", "moment", "json", "count"]

_FOCUS: dict[str, Kind] = {
    "AvailabilityZone": "text",
    "BilledCost": "decimal",
    "BillingAccountId": "text",
    "BillingAccountName": "text",
    "BillingAccountType": "text",
    "BillingCurrency": "text",
    "BillingPeriodEnd": "moment",
    "BillingPeriodStart": "moment",
    "CapacityReservationId": "text",
    "CapacityReservationStatus": "text",
    "ChargeCategory": "text",
    "ChargeClass": "text",
    "ChargeDescription": "text",
    "ChargeFrequency": "text",
    "ChargePeriodEnd": "moment",
    "ChargePeriodStart": "moment",
    "CommitmentDiscountCategory": "text",
    "CommitmentDiscountId": "text",
    "CommitmentDiscountName": "text",
    "CommitmentDiscountQuantity": "decimal",
    "CommitmentDiscountStatus": "text",
    "CommitmentDiscountType": "text",
    "CommitmentDiscountUnit": "text",
    "ConsumedQuantity": "decimal",
    "ConsumedUnit": "text",
    "ContractedCost": "decimal",
    "ContractedUnitPrice": "decimal",
    "EffectiveCost": "decimal",
    "InvoiceId": "text",
    "InvoiceIssuerName": "text",
    "ListCost": "decimal",
    "ListUnitPrice": "decimal",
    "PricingCategory": "text",
    "PricingCurrency": "text",
    "PricingCurrencyContractedUnitPrice": "decimal",
    "PricingCurrencyEffectiveCost": "decimal",
    "PricingCurrencyListUnitPrice": "decimal",
    "PricingQuantity": "decimal",
    "PricingUnit": "text",
    "ProviderName": "text",
    "PublisherName": "text",
    "RegionId": "text",
    "RegionName": "text",
    "ResourceId": "text",
    "ResourceName": "text",
    "ResourceType": "text",
    "ServiceCategory": "text",
    "ServiceName": "text",
    "ServiceSubcategory": "text",
    "SkuId": "text",
    "SkuMeter": "text",
    "SkuPriceDetails": "json",
    "SkuPriceId": "text",
    "SubAccountId": "text",
    "SubAccountName": "text",
    "SubAccountType": "text",
    "Tags": "json",
}

_OURS: dict[str, Kind] = {
    "x_Category": "text",
    "x_Team": "text",
    "x_Feature": "text",
    "x_CustomerId": "text",
    "x_KeyId": "text",
    "x_Route": "text",
    "x_Model": "text",
    "x_Upstream": "text",
    "x_GpuPool": "text",
    "x_Purpose": "text",
    "x_ServiceTier": "text",
    "x_Environment": "text",
    "x_Line": "text",
    "x_Calls": "count",
    "x_UnpricedCalls": "count",
    "x_CostSaved": "decimal",
    "x_MonthClosed": "text",
}

COLUMNS: dict[str, Kind] = {**_FOCUS, **_OURS}
"""Name and type of every column, in order: FOCUS's own first, as the specification wants it."""
