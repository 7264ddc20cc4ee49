"""One module for each subcommand of ``manage.py clientcert``.

Each has ``add_parser(subparsers)``, which describes the arguments, and a function
that does the work and is called with the command and its options.
"""
