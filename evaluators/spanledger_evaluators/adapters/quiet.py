"""Import ragas or deepeval so that nothing leaves the machine and nothing is written beside the caller."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from importlib import import_module
from typing import Any

_SETTINGS = {
    "RAGAS_DO_NOT_TRACK": "true",  # the word: "1" does not work
    "DEEPEVAL_TELEMETRY_OPT_OUT": "1",
    "DEEPEVAL_DISABLE_DOTENV": "1",
    "DEEPEVAL_FILE_SYSTEM": "READ_ONLY",
    "ANONYMIZED_TELEMETRY": "false",
}


def quietly(module: str) -> Any:
    """The module, with telemetry switched off before its import. Raises ImportError as import does."""
    os.environ.update(_SETTINGS)
    os.environ.pop("DEEPEVAL_UPDATE_WARNING_OPT_IN", None)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return import_module(module)
