"""The parts of netlab: see README.md."""
