"""``serve`` lies beside ``benchmarks`` and is not installed: whoever imports this finds it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
