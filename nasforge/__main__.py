"""``python -m nasforge`` is the ``nasforge`` command."""

from nasforge.cli import main

if __name__ == "__main__":
    main()
