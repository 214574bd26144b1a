"""python -m alkit: the study's command line."""

import sys

from alkit.study.cli import main

if __name__ == "__main__":
    sys.exit(main())
