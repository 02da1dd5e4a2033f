"""A trained network as an HTTP service on raw records."""
