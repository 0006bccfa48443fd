"""What the locale says of the terminal."""

from __future__ import annotations

from collections.abc import Mapping


def wants_ascii(env: Mapping[str, str]) -> bool:
    """Whether the locale says that the terminal has no UTF-8; one that says nothing does not.

    Python turns the C locale into C.UTF-8 for itself, by `LC_CTYPE` (PEP 538): what stood in `LANG` is what was meant.
    """
    kind, language = env.get("LC_CTYPE", ""), env.get("LANG", "")
    if kind in ("C.UTF-8", "C.utf8", "UTF-8") and language in ("C", "POSIX"):
        kind = ""
    said = env.get("LC_ALL") or kind or language
    return bool(said) and not said.upper().replace("-", "").split("@")[0].endswith("UTF8")
