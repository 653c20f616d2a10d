"""`python -m adml`."""

import sys

from adml.cli import main

if __name__ == "__main__":
    sys.exit(main())
