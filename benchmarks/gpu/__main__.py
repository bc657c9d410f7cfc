"""Start the script, or name the package that the machine lacks."""

import sys

try:
    from benchmarks.gpu.script import main
except ModuleNotFoundError as error:
    sys.exit(
        f"benchmarks.gpu: this machine lacks the package {error.name!r}. Where nasforge is installed, "
        "`python -m benchmarks.wheels` names all wheels that have to be carried here, and how."
    )

if __name__ == "__main__":
    main()
