"""Built-in scorers that need no model."""
