"""Texts become CLIP's tokens without torch: the numbers of open_clip's SimpleTokenizer, from a Hugging Face tokenizer file."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.errors import WeightsError

START, END = "<start_of_text>", "<end_of_text>"
# What ftfy, which open_clip cleans texts with, does to typographic quotes.
_QUOTES = str.maketrans({"‘": "'", "’": "'", "‚": "'", "‛": "'", "“": '"', "”": '"', "„": '"', "‟": '"'})


def clean(text: str) -> str:
    """As open_clip cleans: composed, straight quotes, no ligatures or full-width letters, entities read, one space, lower case.

    Left out: ftfy's repair of wrongly decoded text, which would need that package.
    """
    plain = "".join(
        unicodedata.normalize("NFKC", c) if "\ufb00" <= c <= "\ufb06" or "\uff00" <= c <= "\uffef" else c for c in text
    )
    composed = unicodedata.normalize("NFC", plain.translate(_QUOTES))
    return " ".join(html.unescape(html.unescape(composed)).split()).lower()


class Tokenizer:
    """Byte-pair encoding with the vocabulary of CLIP, cut or filled with zeros to `length` tokens."""

    def __init__(self, path: Path, length: int) -> None:
        from tokenizers import Tokenizer as FromFile

        try:
            self._tokens: Any = FromFile.from_file(str(path))
        except Exception as error:  # tokenizers raises bare Exception
            raise WeightsError("unknown_card", f"no tokenizer: {error}", path=str(path)) from error
        self._length = length
        self._start, self._end = self._tokens.token_to_id(START), self._tokens.token_to_id(END)

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """(n, length) int64: start, the text's tokens, end, zeros. A longer text is cut, its last token is the end."""
        rows = np.zeros((len(texts), self._length), dtype=np.int64)
        for row, text in zip(rows, texts, strict=True):
            found = self._tokens.encode(clean(text), add_special_tokens=False).ids
            ids = [self._start, *found[: self._length - 2], self._end]
            row[: len(ids)] = ids
        return rows
