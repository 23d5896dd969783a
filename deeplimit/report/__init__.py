"""The report: one page with the ledger, and of each study the question, the table, the figures and the record.

`write` makes `results/index.html`, a file that needs no other: styles, script and figures are in it, and it asks for
no address. Its modules, each built on those before it: `source` (what a study's file says), `cells` (values as text),
`figures` (pictures as text), `page` (the file itself).
"""

from deeplimit.report.page import write

__all__ = ["write"]
