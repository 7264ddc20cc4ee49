"""One module for each subcommand of ``manage.py clientcert``.

Each has ``add_parser(subcommands)``, which adds its arguments, and one or several
functions that do the work, given the command and its options. The help is the
module's docstring, or that of the function of an action: see ``read_help()``.
"""

from __future__ import annotations

from . import (
    authority,
    crl,
    diff,
    expiring,
    explain,
    export,
    import_,
    inbox,
    map,
    notify,
    probe,
    proxy_config,
    revoke,
    what_if,
)

# In the order in which --help lists them
SUBCOMMANDS = (
    map,
    authority,
    revoke,
    crl,
    explain,
    what_if,
    expiring,
    inbox,
    notify,
    probe,
    proxy_config,
    import_,
    export,
    diff,
)
