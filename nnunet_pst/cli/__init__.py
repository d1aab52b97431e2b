"""One module a verb: arguments in, a plain call out."""
