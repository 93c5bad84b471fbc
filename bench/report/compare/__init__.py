"""``reports/compare``: a method beside the rows of a frozen release: verdicts, differences, a row to paste."""
