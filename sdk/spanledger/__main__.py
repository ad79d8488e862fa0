"""``python -m spanledger``: the same as the ``spanledger`` command."""

from spanledger.cli import main

raise SystemExit(main())
