"""Run the benchmarks."""

from benchmarks.run import main

main()
