"""How requests and replies are said in bytes: one module a dialect, pure code without a socket."""
