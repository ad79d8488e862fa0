"""The Dash app: one module a page, shared components, no SQL."""
