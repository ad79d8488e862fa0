"""What a call cost: disjoint token buckets and a model's name come in, Decimal US dollars per bucket go out.

The one implementation, used by the gateway, wrapped clients and the collector. Rates come from our own effective-dated
``price`` documents first (``documents``), then from genai-prices (``listed``, imported at the first look-up, offline);
``table`` puts the two in order and ``rates`` does the sums. An unknown price is None, never 0: an unknown model, a service
tier whose rates nobody wrote down, or usage in a unit that has no rate.
"""

from .rates import NANO as NANO
from .rates import Buckets as Buckets
from .rates import Cost as Cost
from .rates import Rates as Rates
from .rates import Tiers as Tiers
from .table import PriceTable as PriceTable
