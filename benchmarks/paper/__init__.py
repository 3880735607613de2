"""The parts of ``paper_table.py``."""
