"""Where commands are run: one module an engine, all with one interface."""
