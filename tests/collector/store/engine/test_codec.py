"""Bodies in every content encoding a client may use survive; broken and huge ones are refused."""

from __future__ import annotations

import gzip
import zlib

import pytest
import zstandard

from spanledger_collector.store.engine.codec import choose_encoding, compressor, inflate
from spanledger_collector.store.engine.errors import EngineError

TEXT = bytes(range(256)) * 5000


def lz4_frames(data: bytes) -> bytes:
    frames = b""
    for part in (data[:999], data[999:]):
        stream = compressor("lz4")
        assert stream is not None
        frames += stream.compress(part) + stream.flush()
    return frames


BODIES = {
    "": TEXT,
    "identity": TEXT,
    "gzip": gzip.compress(TEXT[:999]) + gzip.compress(TEXT[999:]),
    "deflate": zlib.compress(TEXT),
    "zstd": zstandard.compress(TEXT[:999]) + zstandard.compress(TEXT[999:]),
    "lz4": lz4_frames(TEXT),
}


@pytest.mark.parametrize("encoding", BODIES)
def test_a_body_is_inflated_also_when_it_is_made_of_several_streams(encoding: str) -> None:
    assert inflate(BODIES[encoding], encoding, len(TEXT)) == TEXT


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "lz4"])
def test_a_body_that_inflates_over_the_limit_is_refused(encoding: str) -> None:
    with pytest.raises(EngineError) as refused:
        inflate(BODIES[encoding], encoding, len(TEXT) - 1)
    assert refused.value.status == 413


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "lz4"])
@pytest.mark.parametrize("keep", [0.99, 0.4, 0.0], ids="{:.0%}".format)
def test_a_body_that_was_cut_is_the_clients_fault(encoding: str, keep: float) -> None:
    broken = BODIES[encoding][: int(len(BODIES[encoding]) * keep)] or b"not compressed at all"
    with pytest.raises(EngineError) as refused:
        inflate(broken, encoding, len(TEXT))
    assert refused.value.status == 400


def test_an_unknown_encoding_is_named() -> None:
    with pytest.raises(EngineError, match="allowed are lz4, zstd, gzip, deflate") as refused:
        inflate(b"", "br", 1)
    assert refused.value.code == 48


@pytest.mark.parametrize("encoding", ["lz4", "zstd", "gzip"])
def test_pieces_of_an_answer_make_one_stream(encoding: str) -> None:
    stream = compressor(encoding)
    assert stream is not None
    sent = (
        b"".join(stream.compress(TEXT[at : at + 100_000]) for at in range(0, len(TEXT), 100_000))
        + stream.flush()
    )
    assert inflate(sent, encoding, len(TEXT)) == TEXT


def test_the_cheapest_encoding_a_client_knows_is_chosen() -> None:
    assert choose_encoding("gzip, zstd;q=0.5, lz4") == "lz4"
    assert choose_encoding("br, GZIP") == "gzip"
    assert choose_encoding("br") == ""
