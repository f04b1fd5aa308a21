"""Separation over HTTP, without Ray: what is asked for, who may ask, how much, and how it is answered."""
