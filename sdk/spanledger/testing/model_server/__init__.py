"""A stand-in model server that speaks the real protocols and can be told to get slow, wrong or down.

Needs aiohttp, msgspec and prometheus-client (``pip install 'spanledger[testing]'``).
"""

from spanledger.testing.model_server.behaviour import Answer, Behaviour, Call, ToolCall
from spanledger.testing.model_server.server import ModelServer

__all__ = ["Answer", "Behaviour", "Call", "ModelServer", "ToolCall"]
