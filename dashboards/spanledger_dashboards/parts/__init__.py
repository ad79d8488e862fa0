"""Shared pieces of pages: text and numbers in, Dash components out. No reads, no state."""
