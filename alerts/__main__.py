"""`python -m alerts`: print the rule file, or with an option another file generated from the rules."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from alerts.files import reference, rules_file
from alerts.rules import RECORDINGS, RULES
from alerts.runbooks import RunbookError, renew


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m alerts", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--reference", action="store_true", help="print the table of all alerts (docs/alerts.md)")
    what.add_argument("--runbooks", type=Path, metavar="FOLDER", help="update the generated part of every runbook")
    options = parser.parse_args()
    if options.runbooks:
        try:
            renew(options.runbooks, RULES)
        except RunbookError as error:
            sys.exit(str(error))
    elif options.reference:
        sys.stdout.write(reference(RULES, RECORDINGS))
    else:
        sys.stdout.write(rules_file(RULES, RECORDINGS))


if __name__ == "__main__":
    main()
