"""`python -m midcourse.cli`: the same as `midcourse`."""

import sys

from midcourse.cli.entry import main

sys.exit(main())
