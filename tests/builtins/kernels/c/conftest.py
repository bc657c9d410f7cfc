"""Without the folder of the kernels in C there is nothing to test."""

from pathlib import Path

from nasforge_plugins.kernels import door

collect_ignore_glob = [] if (Path(door.__file__).parent / "c/registration.py").is_file() else ["*"]
