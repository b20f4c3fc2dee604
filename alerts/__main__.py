"""`python -m alerts`: print the rule file."""

from __future__ import annotations

import sys

from alerts.rule import rules_file
from alerts.rules import RULES

if __name__ == "__main__":
    sys.stdout.write(rules_file(RULES))
