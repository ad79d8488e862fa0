"""HTTP/1.1 on httptools, both sides: what the gateway's callers reach, and how it reaches upstreams."""
