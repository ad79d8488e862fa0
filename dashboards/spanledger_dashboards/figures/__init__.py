"""Numbers in, plotly figures out (plain dicts: quick to build, nothing to import)."""
