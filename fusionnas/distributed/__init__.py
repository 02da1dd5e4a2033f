"""All that needs Ray: connecting to a cluster, workers on it. Nothing else imports Ray, and only when asked to."""
