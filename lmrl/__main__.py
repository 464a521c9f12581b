"""`python -m lmrl` is `lmrl`."""

import sys

from lmrl.cli import main

sys.exit(main())
