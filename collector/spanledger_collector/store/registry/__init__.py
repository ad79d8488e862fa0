"""Versioned documents: everything a person configures."""
