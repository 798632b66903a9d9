"""The demo: a server of its own learns, from nothing, which model to use on recorded real outcomes."""
