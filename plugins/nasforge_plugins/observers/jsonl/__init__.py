"""Events of a run or a bench as JSON lines."""
