"""A self-contained page of HTML, readable on a phone and in print, light and dark."""

import base64
import html
import io
import sys

STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --soft: #5c5c5c; --line: #d9d9d9; --paper: #fff; --panel: #f6f6f4 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e6e3; --soft: #a5a29d; --line: #45433f; --paper: #191817; --panel: #24221f } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1.2rem; max-width: 76rem; color: var(--ink); background: var(--paper);
       font: 1rem/1.5 system-ui, sans-serif }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .4rem 0 }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; border-bottom: 1px solid var(--line) }
p { max-width: 46rem } .soft { color: var(--soft); font-size: .9rem }
.warn { border-left: .3rem solid #d55e00; background: var(--panel); padding: .4rem .8rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0 }
th, td { padding: .2rem .7rem .2rem 0; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line) }
th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 8rem }
.words th:last-child, .words td:last-child { text-align: left; white-space: normal; min-width: 12rem }
th.part { font-weight: 400; font-style: italic; color: var(--soft); padding-top: .7rem }
figure { margin: .8rem 0; overflow-x: auto }
figcaption { color: var(--soft); font-size: .85rem }
img { max-width: 100%; height: auto; background: #fff; border-radius: .3rem; display: block }
.side { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 34rem), 1fr)) }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--panel); padding: .6rem .8rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: 0; font-size: .9rem }
dt { color: var(--soft) } dd { margin: 0; overflow-wrap: anywhere }
@media (max-width: 36rem) { .large img { width: 44rem; max-width: none }
  table { font-size: .8rem } th { white-space: normal; vertical-align: bottom } th, td { padding-right: .45rem }
  th:first-child, td:first-child { min-width: 5.5rem; position: sticky; left: 0; background: var(--paper) } }
@media print { body { max-width: none; padding: 0; font-size: 9pt } figure, tr { break-inside: avoid }
  h2 { break-after: avoid } .wide, figure { overflow: visible } .large img { min-width: 0 } }
"""


def document(title, parts):
    """The whole page.     parts: pieces of HTML -> text"""
    return (f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<meta name="viewport" '
            f'content="width=device-width, initial-scale=1">\n<title>{html.escape(title)}</title>\n'
            f"<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</html>\n")


def png(figure):
    """The bytes of a matplotlib Figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def drawn(name, draw):
    """The PNG of the Figure that draw() makes.  None where it cannot be drawn, which is said and costs neither the run
    nor the rest of its report."""
    try:
        return png(draw())
    except Exception as error:  # of matplotlib or scikit-learn, whatever it may be
        print(f"the picture {name} cannot be drawn: {' '.join(str(error).split())}", file=sys.stderr)


def table(heads, rows, words=False):
    """rows: lists of cells, or (title, cells or None for a heading); words: the last column is text, which may wrap."""
    lines = ["<tr>" + "".join(f"<th>{html.escape(head)}</th>" for head in heads) + "</tr>"]
    for row in rows:
        if row[1] is None:
            lines.append(f'<tr><th class="part" colspan="{len(heads)}">{html.escape(row[0])}</th></tr>')
        else:
            cells = row if isinstance(row, list) else [row[0], *row[1]]
            lines.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    return f'<div class="wide"><table{" class=words" if words else ""}>' + "\n".join(lines) + "</table></div>"


def picture(content, alt, caption="", large=False):
    """content: of a PNG; large: a small screen scrolls it and does not shrink it."""
    code = base64.b64encode(content).decode()
    return (f'<figure{" class=large" if large else ""}>'
            f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{code}">'
            f"<figcaption>{html.escape(caption)}</figcaption></figure>")


def pairs(items):
    return "<dl>" + "".join(f"<dt>{html.escape(str(name))}</dt><dd>{html.escape(str(value))}</dd>"
                            for name, value in items.items()) + "</dl>"
