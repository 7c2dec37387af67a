"""From content to one HTML file that needs no other file, no network and no server."""

from __future__ import annotations

import base64
import hashlib
import html
from importlib import resources
from pathlib import Path
from typing import Any

from rr_scale.analysis.report.pack import to_script
from rr_scale.durable import replace_bytes
from rr_scale.errors import UserError

MARK = '<meta name="generator" content="rr_scale report">'
"""In the first lines of every report: a file without it is somebody's."""

_FOLDER = "page"
_SCRIPTS = ("model.js", "format.js", "chart.js", "tables.js", "sections.js", "main.js")
_HEAD_BYTES = 1000


def page(content: dict[str, Any]) -> str:
    """The page. Text of the content reaches it as data only, never as markup."""
    script = "\n".join(["(() => {", '"use strict";', *map(_part, _SCRIPTS), "})();", ""])
    style = _part("style.css")
    parts = {
        "MARK": MARK,
        # Should markup slip in after all, the browser runs and loads nothing but this.
        "SCRIPT_HASH": _digest(script),
        "STYLE_HASH": _digest(style),
        "TITLE": html.escape(str(content["title"])),
        "STYLE": style,
        "DATA": to_script(content),
        "SCRIPT": script,
    }
    before, *rest = _part("frame.html").split("{{")
    filled = [before]
    for piece in rest:
        name, _, after = piece.partition("}}")
        filled += [parts[name], after]
    return "".join(filled)


def write(path: Path, text: str) -> None:
    """Writes a page; a crash leaves the old file or the new one."""
    replace_bytes(path, text.encode())


def check_target(path: Path, force: bool) -> None:
    """Refuses to overwrite what is not a report.

    Raises:
      UserError: something else is there and `force` is not set, or the folder is missing.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"a report ends in .html, got '{path}'")
    if not path.absolute().parent.is_dir():
        raise UserError(f"{path.parent} is no folder")
    if path.is_dir():
        raise UserError(f"{path} is a folder")
    if path.exists() and not force:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        if MARK.encode() not in head:
            raise UserError(f"{path} exists and is not a report; --force overwrites it")


def _part(name: str) -> str:
    return (resources.files(__package__) / _FOLDER / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
