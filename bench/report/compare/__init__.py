"""``reports/compare``: a method beside the rows of frozen releases: verdicts, differences, a row to paste."""
