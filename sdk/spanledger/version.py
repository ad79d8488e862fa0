"""The version of the SDK, here and not read from metadata because that costs 10 ms at import."""

__version__ = "0.1.0"
