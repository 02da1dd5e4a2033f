"""Figures as SVG: the same bytes for the same figure, told to screen readers, and ready to stand inside a page.

Inside a page, the colours of ink, lines and paper become the page's own, so that a figure follows light and dark.
"""

from __future__ import annotations

import io
import re
from html import escape
from typing import Any

import matplotlib
from matplotlib.figure import Figure

INK, LINE, PALE, CARD = "#1f2328", "#57606a", "#ffffff", "#f6f8fa"
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6B6B6B")
"""Okabe and Ito's colours, told apart by colour-blind people; each is only a second sign beside a name."""

_PAGE = {INK: "var(--ink)", LINE: "var(--line)", PALE: "var(--paper)", CARD: "var(--card)"} | {
    color: f"var(--c{place})" for place, color in enumerate(COLORS)
}
_FONT = "'DejaVu Sans'"


def rendered(figure: Figure, form: str, *, text: bool = False) -> bytes:
    """The figure as a file; equal figures give equal bytes for ``svg`` and ``png``.

    Args:
        figure: what to draw.
        form: svg, png or pdf.
        text: letters of an SVG as text, which a page sets in its own font, instead of shapes.
    """
    fonts = "none" if text else "path"
    with matplotlib.rc_context({"svg.hashsalt": "fusionnas", "svg.fonttype": fonts, "font.family": "DejaVu Sans"}):
        buffer = io.BytesIO()
        metadata: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form, {})
        figure.savefig(buffer, format=form, dpi=160, facecolor=PALE, metadata=metadata)
    return buffer.getvalue()


def described(svg: str, title: str, description: str) -> str:
    """With title and description, as screen readers and browsers use them."""
    words = f"<title>{escape(title)}</title><desc>{escape(description)}</desc>"
    start = svg.index("<svg")
    end = svg.index(">", start) + 1
    return svg[: end - 1] + ' role="img">' + words + svg[end:]


def inside_page(svg: str, key: str, description: str) -> str:
    """An SVG to stand inside HTML: one element, ids of its own, colours and font of the page.

    Args:
        svg: what ``rendered`` gave, with text.
        key: unique in the page.
        description: what it shows, for those who do not see it.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.S)
    body = re.sub(r'(\bid="|url\(#|href="#)', rf"\1{key}-", body)
    for fixed, own in _PAGE.items():
        body = re.sub(rf"{fixed}\b", own, body, flags=re.I)
    body = body.replace(_FONT, "var(--font)")
    width = re.search(r'\bwidth="([\d.]+)pt"', body)
    size = f' style="max-width: {float(width[1]) * 4 / 3:.0f}px"' if width else ""
    body = re.sub(r'\b(width|height)="[\d.]+pt" ?', "", body)
    return body.replace("<svg", f'<svg role="img" aria-label="{escape(description)}"{size}', 1).strip()
