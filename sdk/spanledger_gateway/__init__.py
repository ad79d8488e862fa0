"""The serving shims behind an OpenAI- and Anthropic-compatible endpoint."""
