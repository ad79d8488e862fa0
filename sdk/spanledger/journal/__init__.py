"""Finished spans on disk: written by the application, shipped by whoever is alive. Standard library only.

Nothing here imports the rest of the SDK but `spanledger.otlp` and `spanledger.settings`, so that the
shipper process starts in a few milliseconds.
"""
