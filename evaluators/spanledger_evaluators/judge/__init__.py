"""One judge for every scorer that needs a model: a prompt and a schema in, a validated verdict out."""

from .client import Judge, JudgeSettings
from .ledger import Ledger, Usage, tally

__all__ = ["Judge", "JudgeSettings", "Ledger", "Usage", "tally"]
