"""What the subcommands share: arguments, files, text, progress."""
