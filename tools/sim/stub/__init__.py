"""What runs inside a simulated board's interpreter beside the firmware: a bus to the host, and nothing else."""
