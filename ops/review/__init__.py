"""Reviews: what a change of a stack would do, in words, before it happens."""
