"""English or German: what is asked for, a sentence of a command's own table, a number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tools.errors import UsageError

LANGUAGES = ("en", "de")


class _Comma(float):
    def __format__(self, how: str) -> str:
        return super().__format__(how).replace(".", ",")


def check_lang(lang: str) -> None:
    """UsageError for --lang of another language."""
    if lang not in LANGUAGES:
        raise UsageError(f"--lang {lang} is not en or de", next_step="Give --lang en or --lang de")


def say(words: Mapping[str, Mapping[str, str]], lang: str, word: str, **values: Any) -> str:
    """One sentence of the table `words`; German numbers have a comma."""
    if lang == "de":
        values = {key: _Comma(value) if isinstance(value, float) else value for key, value in values.items()}
    return words[lang][word].format(**values)


def number(lang: str, value: float, how: str) -> str:
    """As format() gives it; a German one has a comma."""
    return format(_Comma(value) if lang == "de" else value, how)
