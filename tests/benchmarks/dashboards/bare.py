"""The floor: a Dash app of the same libraries with one line of text. ``python -m tests.benchmarks.dashboards.bare PORT``."""

from __future__ import annotations

import sys
from typing import Any

import dash_ag_grid as dag
import dash_mantine_components as dmc
import uvicorn
from dash import Dash, html
from fastapi import FastAPI


def build() -> FastAPI:
    """One page, drawn by the layout alone; the grid's script is loaded as on every page of ours."""
    server = FastAPI()
    app = Dash(__name__, backend="fastapi", server=server)  # type: ignore[arg-type] # a FastAPI app is what this backend takes
    grid: Any = dag.AgGrid
    app.layout = dmc.MantineProvider(
        html.Main(html.Div(f"Nothing but text; {grid.__name__} is not used.", className="page"), id="main")
    )
    return server


if __name__ == "__main__":
    uvicorn.run(build(), port=int(sys.argv[1]), log_level="warning")
