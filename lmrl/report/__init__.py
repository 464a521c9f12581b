"""The report: what runs did, as one HTML file, and the same page live.

`lmrl.report.page.write_report` writes the file, and `lmrl.report.server` serves the page. Files of
a run directory are untrusted and may be damaged: what cannot be read is left out, and the page says
so. Nothing here starts Ray or needs torch.
"""
