"""Every value of a file is found by its line, whatever way the file is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from spanledger_collector.api.commands.toml_files import TomlFileError, lines_of, read

TEXT = """\
# Upstreams
[upstream.openai]
base_url = "https://api.openai.com/v1"

[route."gpt-4o"]
cache = { exact = true, ttl_s = 60 }
targets = [
    # the best first
    { upstream = "openai", model = "gpt-4o" },
]

[[route.other.targets]]
upstream = "openai"
[[route.other.targets]]
model = '''
[upstream.not_a_table]
key = 1
'''
quality.score = "x"

[price."acme/m"]
from = 2026-01-01
"""


def test_the_line_of_every_value_is_known() -> None:
    lines = lines_of(TEXT)
    assert lines["upstream", "openai"] == 2
    assert lines["upstream", "openai", "base_url"] == 3
    assert lines["route", "gpt-4o", "cache", "ttl_s"] == 6
    assert lines["route", "gpt-4o", "targets", 0, "model"] == 7
    assert lines["route", "other", "targets", 0, "upstream"] == 13
    assert lines["route", "other", "targets", 1] == 14
    assert lines["route", "other", "targets", 1, "model"] == 15
    assert lines["route", "other", "targets", 1, "quality", "score"] == 19
    assert ("upstream", "not_a_table") not in lines


def test_documents_are_read_as_json_values_and_an_absent_value_points_at_its_table(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text('project = "*"\n' + TEXT)
    found = {(entry.kind, entry.name): entry for entry in read(str(file))}
    assert found["price", "acme/m"].document == {"from": "2026-01-01"}
    assert found["price", "acme/m"].project == "*"
    assert found["route", "gpt-4o"].where(("targets", 0, "weight")) == f"{file}:8"
    assert found["price", "acme/m"].where(("provider",)) == f"{file}:22"
    assert found["price", "acme/m"].where(()) == f"{file}:22"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[upstream.x]\na = 1\nb = \n", ":3: Invalid value"),
        ("a = [1,\n", ":2: Invalid value"),
        ("a = 1\n", ":1: write one table a document"),
        ("[upstream]\nx = 1\n", r":2: a document has a kind and a name: \[upstream.NAME\]"),
        ("project = 1\n", ':1: write project = "NAME"'),
        ("[a]\n[a]\n", ":2: Cannot declare"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(TomlFileError, match=message):
        read(str(file))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TomlFileError, match=r"none\.toml"):
        read(str(tmp_path / "none.toml"))
