"""``reports/index.html``: tables, curves, texts and cells of a suite on one page that needs nothing else."""
