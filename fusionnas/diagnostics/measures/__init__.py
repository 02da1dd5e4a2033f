"""What diagnostics compute, as plain functions of arrays: no run, no network needed."""
