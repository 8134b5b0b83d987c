"""The report: the paper's numbers, metrics files, tables and figures of both, a page and its Markdown."""
