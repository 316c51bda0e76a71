"""`python -m attention_cli …` is `attention …`."""

import sys

from attention_cli.main import main

sys.exit(main())
