"""One module for each subcommand of ``manage.py clientcert``.

Each has a function ``run()``, which does the work, given the command and its options,
and ``ARGUMENTS``; or ``add_actions()``, which adds several such functions. The help is
the module's docstring, or that of the function of an action: see ``read_help()``.
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
SUBCOMMANDS = {
    "map": map,
    "authority": authority,
    "revoke": revoke,
    "crl": crl,
    "explain": explain,
    "what-if": what_if,
    "expiring": expiring,
    "inbox": inbox,
    "notify": notify,
    "probe": probe,
    "proxy-config": proxy_config,
    "import": import_,
    "export": export,
    "diff": diff,
}
