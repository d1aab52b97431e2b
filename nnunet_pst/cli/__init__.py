"""One module for each verb: arguments in, a plain call out."""
