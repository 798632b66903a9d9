"""Where the log lives: the Store protocol and its implementations."""
