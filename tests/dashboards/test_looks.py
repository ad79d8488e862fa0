"""Every page looks as was agreed: light and dark, wide and narrow."""

from __future__ import annotations

import pytest

from tests.dashboards.conftest import Open
from tests.dashboards.looking import ALLOWED, agreed, difference, fits, settled
from tests.dashboards.test_pages import PAGES

pytestmark = [pytest.mark.clickhouse, pytest.mark.browser]

WIDTHS = (1440, 1024)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_looks_as_agreed(visit: Open, scheme: str) -> None:
    tab = visit(scheme=scheme, width=WIDTHS[0], check=True)
    changed: list[str] = []
    for path in PAGES:
        page = tab.open(path)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert fits(page), f"{path} is wider than a window of {width} px"
            changed.append(agreed(path, f"{scheme}-{width}", settled(page)))
    assert [one for one in changed if one] == []


@pytest.mark.parametrize(
    "broken",
    [
        "document.querySelectorAll('link[rel=stylesheet]').forEach(one => one.remove())",
        "document.documentElement.dataset.mantineColorScheme = 'dark'",
        "document.querySelector('nav').remove()",
    ],
)
def test_a_page_that_lost_its_style_its_scheme_or_its_navigation_looks_otherwise(
    visit: Open, broken: str
) -> None:
    page = visit(check=True).open("/gpu")
    before = settled(page)
    page.evaluate(broken)
    assert difference(before, settled(page)) > ALLOWED
