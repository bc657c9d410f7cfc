"""Cost of architectures: parameters, MACs, memory, latency, and the limits they can meet."""

from nasforge.cost.counting import Cost, count_parameters, measure, measure_arch, plainly_computed

__all__ = ["Cost", "count_parameters", "measure", "measure_arch", "plainly_computed"]
