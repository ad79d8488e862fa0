"""Alerts: rules and what happened in; events for the trail and messages to people out."""
