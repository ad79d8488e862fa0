"""The Dash app: queries in, pages out."""
