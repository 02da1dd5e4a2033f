"""The catalogue of the field: which row of it has its home where, and the page that says so."""
