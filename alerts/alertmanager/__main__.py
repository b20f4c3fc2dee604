"""`python -m alerts.alertmanager`: print alertmanager.yaml, a template file, or the AlertmanagerConfig resource."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from alerts.alertmanager.configuration import as_yaml, configuration
from alerts.alertmanager.options import TEMPLATES, Email, OptionError, SiteOptions, WorkingHours
from alerts.alertmanager.resource import resource


def _options(chosen: argparse.Namespace) -> SiteOptions:
    mail = (chosen.email_to, chosen.email_from, chosen.smarthost)
    if any(mail) and not all(mail):
        raise OptionError("e-mail needs --email-to, --email-from and --smarthost together")
    return SiteOptions(
        critical_channel=chosen.critical_channel,
        warning_channel=chosen.warning_channel,
        secrets=chosen.secrets,
        templates=chosen.templates,
        preview=chosen.preview,
        heartbeat=not chosen.no_heartbeat,
        working_hours=WorkingHours.parse(chosen.working_hours) if chosen.working_hours else None,
        email=Email(*mail) if all(mail) else None,
        same_fleet=tuple(chosen.same_fleet.split(",")),
    )


def _parser() -> argparse.ArgumentParser:
    usual = SiteOptions()
    parser = argparse.ArgumentParser("python -m alerts.alertmanager", description=__doc__)
    printed = parser.add_mutually_exclusive_group()
    printed.add_argument("--template", choices=TEMPLATES, const=TEMPLATES[0], nargs="?", help="print a template file")
    printed.add_argument("--resource", action="store_true", help="print the AlertmanagerConfig for the operator")
    parser.add_argument("--critical-channel", default=usual.critical_channel, metavar="#NAME")
    parser.add_argument("--warning-channel", default=usual.warning_channel, metavar="#NAME")
    parser.add_argument("--secrets", default=usual.secrets, metavar="FOLDER", help="folder of Alertmanager's secrets")
    parser.add_argument("--templates", default=usual.templates, metavar="FOLDER", help="folder of its templates")
    parser.add_argument("--preview", action="store_true", help="send message_text to phones (Alertmanager 0.31)")
    parser.add_argument("--no-heartbeat", action="store_true", help="do not send the Watchdog")
    parser.add_argument("--working-hours", metavar="HOURS", help='when warnings are sent: "09:00-18:00 monday:friday UTC"')
    parser.add_argument("--same-fleet", default=",".join(usual.same_fleet), metavar="LABELS", help="labels of a fleet")
    parser.add_argument("--email-to", metavar="ADDRESS")
    parser.add_argument("--email-from", metavar="ADDRESS")
    parser.add_argument("--smarthost", metavar="HOST:PORT")
    return parser


def main() -> int:
    """Print the chosen output; exit code 2 and one sentence for invalid options."""
    parser = _parser()
    chosen = parser.parse_args()
    try:
        options = _options(chosen)
    except OptionError as wrong:
        parser.error(str(wrong))
    if chosen.template:
        text = (Path(__file__).parent / chosen.template).read_text()
    else:
        text = as_yaml(resource(options) if chosen.resource else configuration(options))
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
