"""python -m alkit: the study's command line."""

import sys

if __name__ == "__main__":
    try:  # from here on, for a Ctrl-C may come while modules are loaded
        from alkit.study.cli import main

        sys.exit(main())
    except KeyboardInterrupt:
        sys.stderr.write("\nalkit: interrupted\n")
        sys.exit(130)
