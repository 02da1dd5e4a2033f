"""The report of a run: one HTML page that needs no network, with its figures as SVG and its numbers as CSV."""
