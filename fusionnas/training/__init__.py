"""Training of networks and supernets: losses, metrics, loops that stop and resume exactly."""
