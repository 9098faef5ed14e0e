"""The benchmarks' own tests: of what they work out, not of what they measure."""

from __future__ import annotations

import sys
from pathlib import Path

# Last, so that memdbd is the one that is installed.
sys.path.append(str(Path(__file__).parents[2]))
